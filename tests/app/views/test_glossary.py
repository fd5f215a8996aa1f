from app.charts.palette import STARTS
from app.words import marked, plain
from engine import registry
from tests.app.dashboard import open_page, rerun, texts

PAGE = "views/glossary.py"


def test_every_start_pruner_and_network_is_explained_in_the_words_of_the_registry() -> None:
    text = texts(open_page(PAGE))
    assert all(plain(look.name) in text and marked(look.symbol) in text for look in STARTS.values())
    for table in (registry.STARTS, registry.PRUNERS, registry.NETWORKS):
        for entry in table.values():
            assert f"**{plain(entry.title)}**" in text
            assert plain(entry.about) in text


def test_no_term_is_explained_twice() -> None:
    names = [item.value.partition("**")[2].partition("**")[0] for item in open_page(PAGE).markdown]
    assert len(set(names)) == len(names)


def test_a_search_narrows_the_glossary_and_says_when_nothing_matches() -> None:
    app = open_page(PAGE)
    every = len(app.markdown)
    app.text_input(key="glossary_search").input("overlap ratio")
    rerun(app)
    assert 0 < len(app.markdown) < every
    app.text_input(key="glossary_search").input("transformer")
    rerun(app)
    assert "No entry matches" in app.info[0].value

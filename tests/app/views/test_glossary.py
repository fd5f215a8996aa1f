from app.charts.palette import STARTS
from app.words import plain, pruner
from engine.registry import PRUNERS
from tests.app.dashboard import open_page, rerun, texts

PAGE = "views/glossary.py"


def test_every_start_and_pruner_of_the_pages_is_explained() -> None:
    shown = texts(open_page(PAGE))
    assert all(plain(look.name) in shown for look in STARTS.values())
    assert all(plain(word) in shown.lower() for name in PRUNERS for word in pruner(name).lower().split())


def test_a_search_narrows_it_and_says_when_nothing_is_left() -> None:
    app = open_page(PAGE)
    every = len(app.markdown)
    app.text_input(key="glossary_search").input("overlap ratio")
    rerun(app)
    assert 0 < len(app.markdown) < every
    app.text_input(key="glossary_search").input("transformer")
    rerun(app)
    assert "No entry matches" in app.info[0].value

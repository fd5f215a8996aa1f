"""Terms of the glossary are links where they stand in text, and each link opens its term."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.guide.terms import linked, terms
from app.words import marked, plain
from tests.app.dashboard import open_page, rerun, texts, without_links


def test_a_term_is_a_link_where_it_stands_first() -> None:
    text = linked("Two winning tickets and a Winning ticket under a mask")
    assert text == (
        "Two [winning tickets](glossary?term=winning%20ticket) and a Winning ticket under a [mask](glossary?term=mask)"
    )


def test_the_longest_term_is_the_link_and_parts_of_words_are_none() -> None:
    assert linked("the level of the mask alone") == (
        "the [level of the mask alone](glossary?term=level%20of%20the%20mask%20alone)"
    )
    assert linked("unmasked, fine-tuned, restart") == plain("unmasked, fine-tuned, restart")


@given(st.text())
def test_all_else_is_escaped_as_everywhere(text: str) -> None:
    assert without_links(linked(text)) == marked(text)


@pytest.mark.parametrize("term", [term.name for term in terms()])
def test_no_term_links_to_itself_or_to_an_unknown_one(term: str) -> None:
    meaning = next(entry.meaning for entry in terms() if entry.name == term)
    targets = [unquote(target) for target in re.findall(r"glossary\?term=([^)]*)", linked(meaning, but=term))]
    assert term not in targets
    assert set(targets) <= {entry.name for entry in terms()}


def test_a_link_opens_its_term_alone_and_leads_to_all() -> None:
    app = open_page("views/glossary.py", term="gap")
    assert "**gap**" in texts(app)
    assert len(app.markdown) == 1
    app.button(key="glossary_all").click()
    assert len(rerun(app).markdown) == len(terms())


def test_a_link_to_no_term_opens_the_glossary() -> None:
    assert len(open_page("views/glossary.py", term="transformer").markdown) == len(terms())

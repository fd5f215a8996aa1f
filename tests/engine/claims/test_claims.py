import pytest

from engine.claims import CLAIMS, evaluate
from engine.paper.figures import FIGURES


def test_the_claims_are_those_of_the_paper_in_its_order() -> None:
    assert list(CLAIMS) == ["A1", "A2", "A1+A2", "A3", "A4", "B1", "C1", "D1", "E1", "E2", "E3", "F1", "G1"]
    assert all(claim.id == name for name, claim in CLAIMS.items())


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_has_a_sentence_its_place_in_the_paper_and_the_runs_it_needs(claim) -> None:
    assert claim.text.endswith(".")
    assert claim.where
    assert claim.needs


def test_every_figure_names_known_claims_and_every_claim_has_a_figure() -> None:
    named = {claim for figure in FIGURES.values() for claim in figure.claims}
    assert named == set(CLAIMS)


def test_an_unknown_claim_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no claim Z9; allowed: A1, .*G1"):
        evaluate((), (), claims=["Z9"])


def test_without_runs_there_are_no_verdicts() -> None:
    assert evaluate((), ()) == ()

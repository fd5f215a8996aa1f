"""Forest plots of a study's verdicts show every effect with its interval and the margins that it is compared with."""

import pandas as pd
import pytest

from app.charts.chart import Subject
from app.charts.forest import claims_forests
from data.database.database import Database
from data.queries.evidence import evidence
from engine.claims import CLAIMS, Verdict, evaluate
from engine.study.spec import Study
from tests.app.made_study import record

SUBJECT = Subject("made-study-0001", "Made up", "digits", "lenet300")


@pytest.fixture
def verdicts(database: Database, study: Study) -> list[Verdict]:
    """The verdicts on the claims of a finished study."""
    record(database, study)
    points, overlaps = evidence(database, "made-study-0001")
    return [verdict for verdict in evaluate(points, overlaps) if not verdict.control]


def test_every_verdict_with_a_number_has_a_row_in_the_chart_of_its_unit(verdicts: list[Verdict]) -> None:
    charts = claims_forests(SUBJECT, verdicts)
    with_numbers = [verdict for verdict in verdicts if verdict.effect is not None]
    assert len(charts) == len({verdict.unit for verdict in with_numbers}) > 1
    rows = pd.concat([chart.numbers() for chart in charts])
    assert len(rows) == len(with_numbers)
    assert sorted(rows["outcome"]) == sorted(verdict.outcome for verdict in with_numbers)
    assert rows["name"].is_unique
    for verdict in with_numbers:
        assert rows["name"].str.startswith(f"{verdict.claim} {CLAIMS[verdict.claim].name}").any()


def test_margins_are_drawn_with_their_numbers(verdicts: list[Verdict]) -> None:
    charts = claims_forests(SUBJECT, verdicts)
    for chart in charts:
        sets = [pd.DataFrame(rows) for rows in chart.spec["datasets"].values()]
        [margins] = [rows for rows in sets if "margin" in rows]
        assert len(margins)
        labelled = margins[margins["label"] != ""]
        # Each margin is labelled once.
        assert sorted(labelled["margin"]) == sorted(set(margins["margin"]))


def test_a_description_names_each_effect(verdicts: list[Verdict]) -> None:
    for chart in claims_forests(SUBJECT, verdicts):
        assert all(name in chart.alt for name in chart.numbers()["name"])


def test_without_numbers_there_is_no_chart() -> None:
    assert claims_forests(SUBJECT, evaluate([], [])) == []

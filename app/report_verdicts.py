"""A study's verdicts as a report lists them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from app import verdict_tables, words
from data.evidence import from_frames
from engine.claims import CLAIMS
from engine.judging import Thresholds, Verdict
from engine.verdict import evaluate, winning_property


@dataclass(frozen=True)
class Line:
    """One verdict on a claim: its outcome, the scope beside dataset and network, why, and the numbers behind it."""

    outcome: str
    where: str
    reason: str
    comparisons: pd.DataFrame


@dataclass(frozen=True)
class Card:
    """A claim of the paper with the verdicts on it, and the rules that they follow."""

    claim: str
    text: str
    where: str
    lines: list[Line]
    rules: list[str]


@dataclass(frozen=True)
class Judged:
    """The verdicts on one dataset and network.

    counts: of each outcome. cards: claims that could be held against runs. missing: the others, each with what runs it
    lacks. winning: the winning property by learning rate, pruner and sparsity; without rows where no run tells of it.
    """

    counts: dict[str, int]
    cards: list[Card]
    missing: list[tuple[str, str]]
    winning: pd.DataFrame


def judged(accuracy: pd.DataFrame, pooled: pd.DataFrame, diverged: pd.DataFrame, thresholds: Thresholds) -> Judged:
    """Return the verdicts on the rows of one dataset and network."""
    points, overlaps = from_frames(accuracy, pooled, diverged)
    verdicts = evaluate(points, overlaps, thresholds)
    asked = [verdict for verdict in verdicts if verdict.effect is not None]
    return Judged(
        {outcome: sum(v.outcome == outcome for v in asked) for outcome in ("holds", "fails", "undecided")},
        [_card(claim, list(group)) for claim, group in groupby(asked, key=lambda verdict: verdict.claim)],
        list(dict.fromkeys((v.claim, words.sentence(v.reason)) for v in verdicts if v.effect is None)),
        verdict_tables.winning(winning_property(points, thresholds)),
    )


def _card(claim: str, verdicts: Sequence[Verdict]) -> Card:
    rules = dict.fromkeys(rule for verdict in verdicts for rule in verdict_tables.rules(verdict))
    known = CLAIMS[claim]
    return Card(claim, known.text, known.where, [_line(verdict) for verdict in verdicts], list(rules))


def _line(verdict: Verdict) -> Line:
    about = verdict_tables.scope(verdict, ("dataset", "network"))
    return Line(verdict.outcome, about, words.sentence(verdict.reason), verdict_tables.compared(verdict))

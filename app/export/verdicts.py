"""A study's verdicts as a report lists them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from app import words
from app.components import verdict_tables
from data.queries.evidence import from_frames
from engine.claims import CLAIMS, Thresholds, Verdict, evaluate, winning_property


@dataclass(frozen=True)
class Line:
    """One verdict on a claim: outcome, scope beside dataset and network, why, what would decide it, and numbers."""

    outcome: str
    where: str
    reason: str
    needs: str
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

    counts: of each outcome. cards: claims that could be judged; controls: those on pruners that the paper makes no
    claim of. missing: the others, each with what runs it lacks. winning: the winning property by learning rate, pruner
    and sparsity; without rows where no run bears on it. widened: why its intervals differ from those of claim A4.
    by_chance: what the number of verdicts means.
    """

    counts: dict[str, int]
    cards: list[Card]
    controls: list[Card]
    missing: list[tuple[str, str]]
    winning: pd.DataFrame
    widened: str
    by_chance: str


def judged(accuracy: pd.DataFrame, pooled: pd.DataFrame, diverged: pd.DataFrame, thresholds: Thresholds) -> Judged:
    """Return the verdicts on the rows of one dataset and network."""
    points, overlaps = from_frames(accuracy, pooled, diverged)
    verdicts = evaluate(points, overlaps, thresholds)
    return Judged(
        verdict_tables.counts(verdicts),
        _cards([verdict for verdict in verdicts if not verdict.control]),
        _cards([verdict for verdict in verdicts if verdict.control]),
        list(
            dict.fromkeys(
                (v.claim, words.sentence(v.reason))
                for v in verdicts
                if not verdict_tables.is_shown(v) and not v.control
            )
        ),
        verdict_tables.winning(winning_property(points, thresholds)),
        verdict_tables.widened(verdicts),
        verdict_tables.by_chance(verdicts),
    )


def _cards(verdicts: Sequence[Verdict]) -> list[Card]:
    asked = [verdict for verdict in verdicts if verdict_tables.is_shown(verdict)]
    return [_card(claim, list(group)) for claim, group in groupby(asked, key=lambda verdict: verdict.claim)]


def _card(claim: str, verdicts: Sequence[Verdict]) -> Card:
    rules = dict.fromkeys(rule for verdict in verdicts for rule in verdict_tables.rules(verdict))
    known = CLAIMS[claim]
    return Card(claim, known.text, known.where, [_line(verdict) for verdict in verdicts], list(rules))


def _line(verdict: Verdict) -> Line:
    about = verdict_tables.scope(verdict, ("dataset", "network"))
    reason, needs = words.sentence(verdict.reason), verdict_tables.needed(verdict)
    return Line(verdict.outcome, about, reason, needs, verdict_tables.compared(verdict))

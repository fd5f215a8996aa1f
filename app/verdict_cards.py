"""Verdicts on a page: a card for each claim, with its effect, and one click away the rule and the numbers."""

import re
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
import streamlit as st

from app import drawing, words
from app.charts_verdict import forest, row_name
from app.export_chart import as_drawn, file_name
from engine.claims import CLAIMS
from engine.judging import TOLD, Thresholds, Verdict
from engine.spec import Study

BADGES = {
    "holds": ":green-badge[:material/check: holds]",
    "fails": ":red-badge[:material/close: fails]",
    "undecided": ":gray-badge[:material/question_mark: undecided]",
}


def show(verdicts: Sequence[Verdict], key: str, shared: Sequence[str] = ("dataset", "network")) -> None:
    """Show verdicts in the order given, those of one claim together.

    key: tells several lists of a page apart. shared: what of a scope the page around them says already.
    """
    for claim, group in groupby(verdicts, key=lambda verdict: verdict.claim):
        _card(claim, list(group), f"{key}-{claim}", shared)


_LEGEND = (
    "In the charts, lines are intervals over seeds, diamonds means over several comparisons, short grey strokes what "
    "the rule holds an effect against, and the dashed line is 0."
)


def badges(verdicts: Sequence[Verdict]) -> str:
    """Return how many verdicts hold, fail and are undecided, as coloured Markdown badges."""
    counts = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in BADGES}
    colours = {"holds": "green", "fails": "red", "undecided": "gray"}
    return " ".join(f":{colours[outcome]}-badge[{count} {outcome}]" for outcome, count in counts.items() if count)


def recipe_words(study: Study) -> str:
    """Return what of a recipe stands beside every verdict."""
    recipe = study.recipe
    return (
        f"T = {words.plural(recipe.epochs, 'epoch')}, weight decay {words.number(recipe.weight_decay)}. Both take part "
        "in how much of the initial weights is left, so a verdict is for this recipe and says nothing about others."
    )


def told(verdict: Verdict) -> str:
    """Return a verdict's effect with its interval and n, in words."""
    if verdict.effect is None:
        return verdict.reason
    digits, unit, factor = TOLD[verdict.unit]
    effect, low, high = (
        "" if value is None else _minus(f"{factor * value:+.{digits}f}")
        for value in (verdict.effect, verdict.low, verdict.high)
    )
    interval = f", interval {low} to {high}" if low else ""
    return f"{effect}{unit}{interval} (n = {verdict.n})"


def numbers(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts and all that they are made of, a row each, ready for CSV.

    Columns: claim, scope, verdict, effect, low, high, unit, n, reason.
    """
    rows = [
        (v.claim, v.place, v.outcome, v.effect, v.low, v.high, v.unit, v.n, v.reason)
        for verdict in verdicts
        for v in _with_parts(verdict)
    ]
    return pd.DataFrame(rows, columns=["claim", "scope", "verdict", "effect", "low", "high", "unit", "n", "reason"])


def thresholds_table(thresholds: Thresholds) -> pd.DataFrame:
    """Return the thresholds as people read them: name, value, what it is and where it comes from."""
    rows = [
        (name.replace("_", " "), f"{getattr(thresholds, name):g}", field.description)
        for name, field in Thresholds.model_fields.items()
    ]
    return pd.DataFrame(rows, columns=["threshold", "value", "what it is"])


def _with_parts(verdict: Verdict) -> list[Verdict]:
    return [verdict, *(below for part in verdict.parts for below in _with_parts(part))]


def comparisons(verdict: Verdict) -> list[Verdict]:
    """Return what was compared for a verdict, each mean before what it is the mean of; itself where it is one."""
    below = [row for part in verdict.parts for row in comparisons(part)]
    return [verdict, *below] if verdict.over or not below else below


def rules(verdict: Verdict) -> list[str]:
    """Return a verdict's rule and, where it is made of several, theirs."""
    below = [] if verdict.over else [rule for part in verdict.parts for rule in rules(part)]
    return list(dict.fromkeys([verdict.rule, *below]))


def _card(claim: str, verdicts: list[Verdict], key: str, shared: Sequence[str]) -> None:
    with st.container(border=True, key=key, gap="xsmall"):
        st.markdown(f"**{claim}**\u2002{words.plain(CLAIMS[claim].text)}")
        for index, verdict in enumerate(verdicts):
            where = _where(verdict, shared)
            # One paragraph, so that a long reason wraps beside its badge and not below it.
            told = words.plain(_minus(verdict.reason)) if where else words.plain(_sentence(verdict.reason)[:-1])
            with st.container(key=f"{key}-{index}"):
                st.markdown(f"{BADGES[verdict.outcome]}\u2002" + (f"{words.plain(where)}: " if where else "") + told)
        opened = st.expander("Rule and numbers", key=f"{key}-why", on_change="rerun", type="compact")
        if opened.open:
            with opened:
                # Verdicts on several pruners mostly share their rule, which is then told once.
                st.markdown(
                    "\n".join(
                        f"- {words.plain(rule)}"
                        for rule in dict.fromkeys(rule for verdict in verdicts for rule in rules(verdict))
                    )
                )
                for index, verdict in enumerate(verdicts):
                    _why(verdict, f"{key}-{index}", shared)
                st.caption(_LEGEND)
                st.caption(f"Claimed in {CLAIMS[claim].where}. It takes {CLAIMS[claim].needs}.")


def _where(verdict: Verdict, shared: Sequence[str]) -> str:
    return " · ".join(_humane(name, value) for name, value in verdict.scope.items() if name not in shared)


def _humane(name: str, value: str) -> str:
    names = {"pruner": words.pruner, "network": words.network, "dataset": words.dataset}
    return names[name](value) if name in names else value


def _why(verdict: Verdict, key: str, shared: Sequence[str]) -> None:
    where = _where(verdict, shared)
    if where:
        st.markdown(f"**{words.plain(where[:1].upper() + where[1:])}** {BADGES[verdict.outcome]}")
    parts = comparisons(verdict)
    if any(part.low is not None for part in parts):
        chart = drawing.spec(forest(parts, verdict.scope))
        title = f"Effects and intervals behind claim {verdict.claim}"
        saving = as_drawn(chart, file_name("claim", verdict.claim, verdict.place), title, verdict.place)
        drawing.show(chart, f"{key}-forest", f"{title}.", saving)
    if len(parts) > 1:
        table = pd.DataFrame(
            {
                "comparison": [row_name(part, verdict.scope) for part in parts],
                "verdict": [part.outcome for part in parts],
                "effect": [told(part) for part in parts],
            }
        )
        drawing.table(table, f"{key}-parts")


def _minus(text: str) -> str:
    """Return a text with its negative numbers written with a minus sign, not a hyphen."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{_minus(text[1:])}."

"""Verdicts on a page: a card for each claim, with its effect, and one click away the rule and the numbers."""

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from app import drawing, words
from app.charts_verdict import forest
from app.export_chart import as_drawn, file_name
from app.verdict_tables import compared, comparisons, rules, scope
from engine.claims import CLAIMS
from engine.judging import Verdict

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


def _card(claim: str, verdicts: list[Verdict], key: str, shared: Sequence[str]) -> None:
    with st.container(border=True, key=key, gap="xsmall"):
        st.markdown(f"**{claim}**\u2002{words.plain(CLAIMS[claim].text)}")
        for index, verdict in enumerate(verdicts):
            where = scope(verdict, shared)
            # One paragraph, so that a long reason wraps beside its badge and not below it.
            told = words.plain(words.minus(verdict.reason) if where else words.sentence(verdict.reason)[:-1])
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


def _why(verdict: Verdict, key: str, shared: Sequence[str]) -> None:
    where = scope(verdict, shared)
    if where:
        st.markdown(f"**{words.plain(where[:1].upper() + where[1:])}** {BADGES[verdict.outcome]}")
    parts = comparisons(verdict)
    if any(part.low is not None for part in parts):
        chart = drawing.spec(forest(parts, verdict.scope))
        title = f"Effects and intervals behind claim {verdict.claim}"
        saving = as_drawn(chart, file_name("claim", verdict.claim, verdict.place), title, verdict.place)
        drawing.show(chart, f"{key}-forest", f"{title}.", saving)
    if len(parts) > 1:
        drawing.table(compared(verdict), f"{key}-parts")

"""Cards of verdicts on a page: one for each claim, which opens to show the rule and the numbers."""

from collections.abc import Callable, Sequence
from itertools import groupby

import streamlit as st

from app import words
from app.charts.chart import Chart
from app.charts.forest import LEGEND, forest
from app.charts.forest import by_rate as by_rate_chart
from app.components import chart
from app.components.verdict_tables import (
    AT_OTHER_RATES,
    MOST_LINES,
    by_rate,
    compared,
    comparisons,
    counted,
    counts,
    effect_words,
    is_shown,
    lines,
    rules,
    scope,
)
from app.guide.prose import prose
from engine.claims import CLAIMS, Verdict

BADGES = {
    "holds": ":green-badge[:material/check: holds]",
    "fails": ":red-badge[:material/close: fails]",
    "undecided": ":gray-badge[:material/question_mark: undecided]",
    "missing": ":gray-badge[:material/hourglass_empty: runs missing]",
}


def show(
    verdicts: Sequence[Verdict],
    key: str,
    shared: Sequence[str] = ("dataset", "network"),
    others: Sequence[Verdict] = (),
    beside: Callable[[Verdict, str], None] = lambda verdict, key: None,
) -> None:
    """Show verdicts on the paper's claims in their order, a card for those of one claim, then those on controls.

    key: distinguishes several lists on a page. shared: the fields of a scope that the page around the cards names.
    others: the verdicts at other learning rates, in the card of their claim. beside: draws the rest of a verdict, with
    a key for its widgets.
    """
    with_numbers = [verdict for verdict in verdicts if is_shown(verdict)]

    def cards(control: bool, name: str) -> None:
        shown = [verdict for verdict in with_numbers if verdict.control == control]
        for claim, group in groupby(shown, key=lambda verdict: verdict.claim):
            more = [verdict for verdict in others if (verdict.claim, verdict.control) == (claim, control)]
            _card(claim, list(group), more, f"{name}-{claim}", shared, beside)

    cards(False, key)
    missing([verdict for verdict in verdicts if not is_shown(verdict)])
    if any(verdict.control for verdict in with_numbers):
        st.header("Controls and other pruners", anchor=False)
        st.caption(
            "The paper makes no claim of these pruners. What holds for random pruning too does not come from the mask."
        )
        cards(True, f"{key}-control")


def forests(charts: Sequence[Chart], key: str) -> None:
    """Show the effects of the verdicts on claims with their intervals and margins; charts: one for each unit."""
    for index, drawn in enumerate(charts):
        chart.show(drawn, f"{key}-forest-{index}")
    if charts:
        st.caption(LEGEND)


def missing(verdicts: Sequence[Verdict]) -> None:
    """List the claims for which runs are missing, one per line; those on controls are left out."""
    lacking = [verdict for verdict in verdicts if verdict.outcome == "missing" and not verdict.control]
    if not lacking:
        return
    reasons = dict.fromkeys((verdict.claim, verdict.reason) for verdict in lacking)
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**Runs are missing for {words.plural(len(lacking), 'verdict')}**")
        st.markdown("\n".join(f"- {claim}: {words.plain(reason)}" for claim, reason in reasons))


def badges(verdicts: Sequence[Verdict]) -> str:
    """Return the number of verdicts of each outcome as coloured badges; verdicts on controls are not counted."""
    colours = {"holds": "green", "fails": "red"}
    return " ".join(
        f":{colours.get(outcome, 'gray')}-badge[{counted(outcome, count)}]"
        for outcome, count in counts(verdicts).items()
        if count
    )


def _card(
    claim: str,
    verdicts: list[Verdict],
    others: list[Verdict],
    key: str,
    shared: Sequence[str],
    beside: Callable[[Verdict, str], None],
) -> None:
    """Show the verdicts on a claim, a line each; what the claim is, its rule and its numbers are one click away."""
    entry = CLAIMS[claim]
    with st.container(border=True, key=key, gap="xsmall"):
        for index, (text, group) in enumerate(lines(verdicts)):
            with st.container(key=f"{key}-{index}"):
                st.markdown(_line(f"**{claim}** {words.plain(entry.name)}", text, group, shared))
                if not text:
                    beside(group[0], f"{key}-{index}")
        for text, group in lines(others):
            st.markdown(_line(f":gray[**{claim}** at other rates]", text, group, shared))
        opened = st.expander("Claim, rule and numbers", key=f"{key}-why", on_change="rerun", type="compact")
        if opened.open:
            with opened:
                st.markdown(prose(entry.text))
                # Verdicts on several pruners mostly share a rule, so each rule is shown once.
                st.markdown(
                    "\n".join(
                        f"- {prose(rule)}"
                        for rule in dict.fromkeys(rule for verdict in verdicts for rule in rules(verdict))
                    )
                )
                if len(verdicts) <= MOST_LINES:
                    for index, verdict in enumerate(verdicts):
                        _why(verdict, f"{key}-{index}", shared)
                else:
                    _rates(claim, verdicts, f"{key}-all")
                if others:
                    st.markdown("**At other learning rates**")
                    st.caption(prose(AT_OTHER_RATES))
                    _rates(claim, others, f"{key}-others")
                st.caption(LEGEND)
                st.caption(prose(f"Claimed in {entry.where}. Needs {entry.needs}."))


def _line(name: str, text: str, verdicts: list[Verdict], shared: Sequence[str]) -> str:
    """Return the line of one verdict, or that of several with a text that sums them up."""
    first = verdicts[0]
    where = scope(first, (*shared, "learning_rate") if text else shared)
    lead = "" if text else f"{BADGES[first.outcome]}\u2002"
    named = f"{name} · {words.plain(where)}" if where else name
    return f"{lead}{named}: {words.plain(text or effect_words(first))}"


def _rates(claim: str, verdicts: list[Verdict], key: str) -> None:
    """Show verdicts on one claim at several learning rates: a plot of those of the first question, and a table."""
    with_effect = [verdict for verdict in verdicts if verdict.low is not None]
    if with_effect:
        chart.show(by_rate_chart(claim, with_effect), f"{key}-forest")
    chart.table(by_rate(verdicts), f"{key}-table")


def _why(verdict: Verdict, key: str, shared: Sequence[str]) -> None:
    where = scope(verdict, shared)
    reason = prose(words.sentence(verdict.reason))
    st.markdown(f"{BADGES[verdict.outcome]}\u2002" + (f"**{words.plain(where)}**: " if where else "") + reason)
    parts = comparisons(verdict)
    if any(part.low is not None for part in parts):
        chart.show(forest(verdict, parts), f"{key}-forest")
    if len(parts) > 1:
        chart.table(compared(verdict), f"{key}-parts")

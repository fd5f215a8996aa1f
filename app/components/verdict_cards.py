"""Cards of verdicts on a page: one for each claim, which opens to show the rule and the numbers."""

from collections.abc import Callable, Sequence
from itertools import groupby

import streamlit as st

from app import words
from app.charts.chart import Subject
from app.charts.forest import LEGEND, claims_forests, forest
from app.components import chart
from app.components.verdict_tables import compared, comparisons, counts, effect_words, is_shown, rules, scope
from engine.claims import CLAIMS, Verdict

BADGES = {
    "holds": ":green-badge[:material/check: holds]",
    "fails": ":red-badge[:material/close: fails]",
    "undecided": ":gray-badge[:material/question_mark: undecided]",
    "missing": ":gray-badge[:material/hourglass_empty: runs missing]",
}
# The word for each outcome after its count.
COUNTED = {"holds": "hold", "fails": "fail", "undecided": "undecided", "missing": "lack runs"}


def show(
    verdicts: Sequence[Verdict],
    key: str,
    shared: Sequence[str] = ("dataset", "network"),
    beside: Callable[[Verdict, str], None] = lambda verdict, key: None,
) -> None:
    """Show verdicts on the paper's claims in their order, a card for those of one claim, then those on controls.

    key: distinguishes several lists on a page. shared: the fields of a scope that the page around the cards names.
    beside: draws the rest of a verdict, with a key for its widgets.
    """
    with_numbers = [verdict for verdict in verdicts if is_shown(verdict)]
    for claim, group in groupby((v for v in with_numbers if not v.control), key=lambda verdict: verdict.claim):
        _card(claim, list(group), f"{key}-{claim}", shared, beside)
    missing(verdicts)
    controls = [verdict for verdict in with_numbers if verdict.control]
    if controls:
        st.subheader("Controls and other pruners", anchor=False)
        st.caption(
            "The paper makes no claim of these pruners. What holds for random pruning too does not come from the mask."
        )
        for claim, group in groupby(controls, key=lambda verdict: verdict.claim):
            _card(claim, list(group), f"{key}-control-{claim}", shared, beside)


def forests(subject: Subject, verdicts: Sequence[Verdict], key: str) -> None:
    """Show the effects of the verdicts on claims with their intervals and margins, a chart for each unit."""
    charts = claims_forests(subject, [verdict for verdict in verdicts if not verdict.control])
    for index, drawn in enumerate(charts):
        chart.show(drawn, f"{key}-forest-{index}")
    if charts:
        st.caption(LEGEND)


def missing(verdicts: Sequence[Verdict]) -> None:
    """List the claims for which runs are missing, one per line."""
    lacking = [verdict for verdict in verdicts if not is_shown(verdict) and not verdict.control]
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
        f":{colours.get(outcome, 'gray')}-badge[{count} {COUNTED[outcome]}]"
        for outcome, count in counts(verdicts).items()
        if count
    )


def _card(
    claim: str, verdicts: list[Verdict], key: str, shared: Sequence[str], beside: Callable[[Verdict, str], None]
) -> None:
    """Show the verdicts on a claim, a line each; what the claim is, its rule and its numbers are one click away."""
    entry = CLAIMS[claim]
    with st.container(border=True, key=key, gap="xsmall"):
        for index, verdict in enumerate(verdicts):
            where = scope(verdict, shared)
            with st.container(key=f"{key}-{index}"):
                name = f"**{claim}** {words.plain(entry.name)}" + (f" · {words.plain(where)}" if where else "")
                st.markdown(f"{BADGES[verdict.outcome]}\u2002{name}: {words.plain(effect_words(verdict))}")
                beside(verdict, f"{key}-{index}")
        opened = st.expander("Claim, rule and numbers", key=f"{key}-why", on_change="rerun", type="compact")
        if opened.open:
            with opened:
                st.markdown(f"{words.plain(entry.text)}")
                # Verdicts on several pruners mostly share a rule, so each rule is shown once.
                st.markdown(
                    "\n".join(
                        f"- {words.plain(rule)}"
                        for rule in dict.fromkeys(rule for verdict in verdicts for rule in rules(verdict))
                    )
                )
                for index, verdict in enumerate(verdicts):
                    _why(verdict, f"{key}-{index}", shared)
                st.caption(LEGEND)
                st.caption(f"Claimed in {entry.where}. Needs {entry.needs}.")


def _why(verdict: Verdict, key: str, shared: Sequence[str]) -> None:
    where = scope(verdict, shared)
    reason = words.plain(words.sentence(verdict.reason))
    st.markdown(f"{BADGES[verdict.outcome]}\u2002" + (f"**{words.plain(where)}**: " if where else "") + reason)
    parts = comparisons(verdict)
    if any(part.low is not None for part in parts):
        chart.show(forest(verdict, parts), f"{key}-forest")
    if len(parts) > 1:
        chart.table(compared(verdict), f"{key}-parts")

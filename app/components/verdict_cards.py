"""Cards of verdicts on a page: one for each claim, which opens to show the rule and the numbers."""

from collections.abc import Callable, Sequence
from itertools import groupby

import streamlit as st

from app import words
from app.charts.forest import forest
from app.components import chart
from app.components.verdict_tables import compared, comparisons, counts, is_shown, rules, scope
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
    _missing([verdict for verdict in verdicts if not is_shown(verdict) and not verdict.control])
    controls = [verdict for verdict in with_numbers if verdict.control]
    if controls:
        st.subheader("Controls and other pruners", anchor=False)
        st.caption(
            "The paper makes no claim of these pruners. What holds for random pruning too does not come from the mask."
        )
        for claim, group in groupby(controls, key=lambda verdict: verdict.claim):
            _card(claim, list(group), f"{key}-control-{claim}", shared, beside)


def _missing(verdicts: Sequence[Verdict]) -> None:
    """List the claims for which runs are missing, one per line."""
    if not verdicts:
        return
    reasons = dict.fromkeys((verdict.claim, verdict.reason) for verdict in verdicts)
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**Runs are missing for {words.plural(len(verdicts), 'more verdict')}**")
        st.markdown("\n".join(f"- {claim}: {words.plain(reason)}" for claim, reason in reasons))


_LEGEND = (
    "In the charts, lines are intervals over seeds at the confidence that the rule names, diamonds are means over "
    "several comparisons, short grey strokes are the margins of the rule, and the dashed line is 0."
)


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
    with st.container(border=True, key=key, gap="xsmall"):
        st.markdown(f"**{claim}**\u2002{words.plain(CLAIMS[claim].text)}")
        for index, verdict in enumerate(verdicts):
            where = scope(verdict, shared)
            # In one paragraph with its badge, a long reason wraps beside it and not below.
            reason = words.plain(words.minus(verdict.reason) if where else words.sentence(verdict.reason)[:-1])
            with st.container(key=f"{key}-{index}"):
                st.markdown(f"{BADGES[verdict.outcome]}\u2002" + (f"{words.plain(where)}: " if where else "") + reason)
                beside(verdict, f"{key}-{index}")
        opened = st.expander("Rule and numbers", key=f"{key}-why", on_change="rerun", type="compact")
        if opened.open:
            with opened:
                # Verdicts on several pruners mostly share a rule, so each rule is shown once.
                st.markdown(
                    "\n".join(
                        f"- {words.plain(rule)}"
                        for rule in dict.fromkeys(rule for verdict in verdicts for rule in rules(verdict))
                    )
                )
                for index, verdict in enumerate(verdicts):
                    _why(verdict, f"{key}-{index}", shared)
                st.caption(_LEGEND)
                st.caption(f"Claimed in {CLAIMS[claim].where}. Needs {CLAIMS[claim].needs}.")


def _why(verdict: Verdict, key: str, shared: Sequence[str]) -> None:
    where = scope(verdict, shared)
    if where:
        st.markdown(f"**{words.plain(where[:1].upper() + where[1:])}** {BADGES[verdict.outcome]}")
    parts = comparisons(verdict)
    if any(part.low is not None for part in parts):
        chart.show(forest(verdict, parts), f"{key}-forest")
    if len(parts) > 1:
        chart.table(compared(verdict), f"{key}-parts")

"""The Verdicts tab: the paper's claims, judged by this study's own runs."""

from functools import partial

import streamlit as st

from app import words
from app.auth import access
from app.charts.chart import Chart, Subject
from app.charts.forest import claims_forests
from app.components import chart, dialogs, divergence, verdict_cards, verdict_tables
from app.new_study import launch
from app.new_study.preview import preview_plan
from app.state import address, live, queries
from app.state.cache import cached
from data.queries.evidence import from_frames
from data.queries.studies import StudyRecord
from data.viewers import local_name
from engine import claims
from engine.claims import OverlapPoint, Point, Thresholds, Verdict, evaluate, need, winning_property
from engine.claims.catalog import HIGH, LOW
from engine.errors import UserError
from engine.study.spec import to_toml, with_more_seeds
from tasks.studies.planning import number_of_test_images

# The steps of the inputs for thresholds; 0.1 for those that are not listed.
_STEPS = {"confidence": 0.01, "overlap_above": 0.01, "overlap_about": 0.01, "standard_errors": 0.5, "moved": 0.01}


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    study_id = record.study_id
    accuracy = queries.accuracy(study_id)
    diverged = queries.divergences(study_id)
    if accuracy.empty:
        divergence.nothing(
            diverged,
            "No training has finished yet. The first verdicts come with the first networks that can be compared.",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="verdict_choices"):
        dataset, network = chart.place_choice(accuracy, "verdict")
        low, high = _rates(sorted(record.study.learning_rates))
    thresholds = _thresholds()
    verdicts, winning = judged(study_id, dataset, network, thresholds, low, high)
    if not verdicts:
        st.info("No training of this dataset and network has finished yet.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="verdict_summary"):
        st.markdown(verdict_cards.badges(verdicts), width="content")
        st.caption(verdict_tables.recipe_words(record.study), width="content")
    divergence.note(diverged)
    over_seeds = verdict_tables.over_seeds(number_of_test_images(record.study, local_name(queries.database(), dataset)))
    others = elsewhere(study_id, dataset, network, thresholds, low, high)
    verdict_cards.forests(
        _forests(Subject(study_id, record.study.name, dataset, network), thresholds, low, high), "verdict"
    )
    st.caption(f"{over_seeds} {verdict_tables.by_chance(verdicts, others)}")
    verdict_cards.show(verdicts, "verdict", others=others, beside=partial(_offer, record))
    _winning(winning, verdict_tables.widened(verdicts))
    numbers = partial(verdict_tables.numbers, (*verdicts, *others))
    chart.csv_button("Verdicts as CSV", numbers, f"{study_id}-verdicts.csv", "verdict_csv")


def _rates(rates: list[float]) -> tuple[float | None, float | None]:
    """Return the rates that claims call low and high, chosen by the reader; None if there are fewer than three."""
    if len(rates) < 3:
        return None, None
    both = LOW in rates and HIGH in rates
    low = _rate("Low learning rate", rates[:-1], LOW if both else rates[0], "verdict_low")
    # Only rates above the low one can be chosen as the high one.
    above = [rate for rate in rates if rate > low]
    return low, _rate("High learning rate", above, HIGH if both and HIGH in above else above[-1], "verdict_high")


def _rate(label: str, rates: list[float], default: float, key: str) -> float:
    index = rates.index(default)
    key = address.one(key, rates, default)
    return float(st.selectbox(label, rates, index, format_func=words.number, key=key, persist_state="page", width=160))


def _thresholds() -> Thresholds:
    """Show the inputs for the thresholds, and return what the reader sets."""
    defaults = Thresholds()
    values: dict[str, float] = {}
    with st.expander("Thresholds: what counts as similar, clear and enough", key="thresholds", type="compact"):
        chart.table(verdict_tables.thresholds_table(defaults), "thresholds_frame")
        fields = list(Thresholds.model_fields)
        for first in range(0, len(fields), 4):
            for column, name in zip(st.columns(4), fields[first : first + 4], strict=False):
                with column:
                    values[name] = _threshold(name, getattr(defaults, name))
        st.button("Back to the defaults", key="thresholds_reset", on_click=_reset)
    thresholds = Thresholds.model_validate(values)
    if thresholds != defaults:
        changes = [
            f"{name.replace('_', ' ')} {getattr(thresholds, name):g} instead of {getattr(defaults, name):g}"
            for name in fields
            if getattr(thresholds, name) != getattr(defaults, name)
        ]
        st.markdown(f":orange-badge[own thresholds] {words.plain('; '.join(changes))}")
    return thresholds


def _threshold(name: str, default: float) -> float:
    label, key = name.replace("_", " ").capitalize(), f"threshold-{name}"
    if isinstance(default, int):
        key = address.number(key, 2, 1000, default)
        return int(st.number_input(label, 2, 1000, default, key=key, required=True, persist_state="page") or default)
    most = 0.999 if name == "confidence" else 1.0 if name.startswith(("overlap", "moved")) else 100.0
    least = 0.51 if name == "confidence" else 0.0
    key = address.number(key, least, most, default)
    value = st.number_input(
        label, least, most, default, _STEPS.get(name, 0.1), "%.3g", key=key, required=True, persist_state="page"
    )
    return default if value is None else float(value)


def _reset() -> None:
    for name, field in Thresholds.model_fields.items():
        st.session_state[f"threshold-{name}"] = field.default


def _winning(verdicts: tuple[Verdict, ...], widened: str) -> None:
    """Show at which learning rates, pruners and sparsities a ticket has the winning property."""
    if not verdicts:
        return
    st.header("The winning property", anchor=False)
    st.caption(
        "The winning ticket matches dense and beats random reinit, at one learning rate, pruner and sparsity. "
        f"{widened}"
    )
    with st.container(key="winning_table"):
        chart.table(verdict_tables.winning(verdicts), "winning_frame")


@cached(queries.results_marker, max_entries=32, shared=True)
def judged(
    study_id: str, dataset: str, network: str, thresholds: Thresholds, low: float | None, high: float | None
) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
    """Return the verdicts on the claims and on the winning property; arguments as in `engine.claims.evaluate`."""
    points, overlaps = _evidence(study_id, dataset, network)
    return evaluate(points, overlaps, thresholds, low, high), winning_property(points, thresholds)


@cached(queries.results_marker, max_entries=32, shared=True)
def elsewhere(
    study_id: str, dataset: str, network: str, thresholds: Thresholds, low: float | None, high: float | None
) -> tuple[Verdict, ...]:
    """Return the verdicts at the learning rates other than low and high; see `engine.claims.elsewhere`."""
    return claims.elsewhere(*_evidence(study_id, dataset, network), thresholds, low, high)


@cached(chart.subject_results, max_entries=32, shared=True)
def _forests(subject: Subject, thresholds: Thresholds, low: float | None, high: float | None) -> list[Chart]:
    """Return the effects behind the verdicts, a chart for each unit."""
    place = (subject.study_id, subject.dataset, subject.network, thresholds, low, high)
    return claims_forests(subject, judged(*place)[0], elsewhere(*place))


@cached(queries.results_marker, max_entries=4, shared=True)
def _evidence(study_id: str, dataset: str, network: str) -> tuple[list[Point], list[OverlapPoint]]:
    accuracy, pooled, diverged = (
        frame[(frame["dataset"] == dataset) & (frame["network"] == network)]
        for frame in (queries.accuracy(study_id), queries.pooled_overlaps(study_id), queries.diverged(study_id))
    )
    return from_frames(accuracy, pooled, diverged)


def _offer(record: StudyRecord, verdict: Verdict, key: str) -> None:
    """Show below a verdict how many seeds would decide it, and to the owner the button that queues them."""
    needed = need(verdict)
    if needed is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{key}-needs"):
        st.markdown(f":small[:gray[{words.plain(needed.sentence)}]]", width="content")
        if needed.more is None or not access.is_owner():
            return
        about = f"seeds {record.study_id} {key}"
        if dialogs.button(
            f"Add {words.plural(needed.more, 'seed')}", about, key=f"{key}-add", type="tertiary", icon=":material/add:"
        ):
            _confirm(record, needed.more)


@st.dialog("Add seeds?", on_dismiss=dialogs.close)
def _confirm(record: StudyRecord, more: int) -> None:
    """Show the plan of a study with more seeds, and launch it."""
    try:
        larger = with_more_seeds(record.study, more)
        with st.spinner("Planning…"):
            plan = preview_plan(to_toml(larger))
    except UserError as error:
        st.error(words.plain(str(error)))
        return
    added = [seed for seed in larger.seeds if seed not in record.study.seeds]
    st.markdown(
        f"A new study, **{words.plain(larger.name)}**, with {words.plural(more, 'more seed')} "
        f"({', '.join(map(str, added[:20]))}{', …' if len(added) > 20 else ''}). All that is trained already is reused."
    )
    launch.plan_numbers(plan, key="seeds_numbers")
    st.markdown(words.plain(plan.costs(live.zone())))
    if st.button("Launch it", type="primary", icon=":material/rocket_launch:", key="seeds_yes", on_click=dialogs.close):
        launch.start(larger)
    launch.ask_again(larger)
    st.caption("The same from the command line")
    st.code(f"ticketscope verdicts {record.study_id} --add-seeds {more}", language="bash", wrap_lines=True)

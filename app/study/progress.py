"""The Progress tab: how far a study is, its curves and its stages, live while it runs."""

from collections import Counter
from collections.abc import Collection, Container, Mapping
from typing import get_args

import pandas as pd
import pyarrow as pa
import streamlit as st

from app import words
from app.auth import access
from app.charts import progress
from app.charts.chart import Chart, Subject
from app.charts.progress import Curve
from app.components import chart, support_table
from app.components.stage_names import column, several, stage_names
from app.state import address, live, queries
from app.state.cache import cached
from app.study import failure
from app.study.stages_table import Now, Snapshot, matching, snapshot, stage_table
from data.queries.results import origins_in_words
from data.queries.studies import StudyRecord
from engine.registry import known_pruner
from tasks.studies.time_left import Places

TABLE_HEIGHT = 380
MOST_CURVES = 6
# The most rows of the table of stages, which every refresh sends anew; a search reaches the others.
MOST_STAGES = 250

# The rows of a chart before the first epoch; it is drawn with empty axes, so that nothing below it moves later.
NO_EPOCHS = pd.DataFrame(
    columns=["fingerprint", "epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy"], dtype=float
)

ABOUT_LEFT = (
    "All stages that are left, one after another on the workers that train this study, at the speed of the last half "
    "minute. A stage begins once the stage that it is made from is done."
)
_HELP = {"blocked": "They build on a stage that has failed, and go on once that one is retried and done."}

LATEST, CHOSEN = "latest", "chosen"
_CURVES: tuple[Curve, ...] = get_args(Curve)


def body(record: StudyRecord) -> float:
    """Draw the tab, and return the fraction of the study's epochs that it shows as trained."""
    now: Now = ()
    trouble, training, places = None, record.state not in queries.FINISHED, Places(0)
    rows = queries.stages(record.study_id)
    fingerprints = tuple(rows["fingerprint"]) if training else ()
    if training:
        progresses, trouble = live.progress(fingerprints)
        now, places = tuple(progresses.items()), live.places(rows)
    shown = snapshot(record.study_id, now, places if training else None)
    overview(shown, training)
    if imported := origins_in_words(queries.origins(record.study_id)):
        st.caption(
            f"Imported: {words.plain('; '.join(imported))}. Their times and workers are those of the training there."
        )
    if live.is_lost(record):
        text = "The queue does not know this study any more, so its training does not continue."
        if access.is_owner():
            text += " `ticketscope rebuild` on the machine of the dashboard resumes it."
        st.warning(text, icon=":material/link_off:")
    if trouble:
        st.warning(f"Live speeds are missing: {words.plain(trouble)}", icon=":material/cloud_off:")
    elif training:
        waiting(set(fingerprints))
        slow(fingerprints)
    curves(record)
    if any(known_pruner(name).admm for name in record.study.pruners):
        convergence(record)
    stages(shown)
    return shown.fraction


def overview(shown: Snapshot, training: bool) -> None:
    """Show counts, the progress bar and, while a study is training, the time left and when that is over."""
    with st.container(key="progress_overview"):
        st.progress(
            shown.percent / 100,
            text=f"{shown.counts['done']:,} of {words.plural(len(shown.rows), 'stage')} done · "
            f"{shown.percent} % of epochs",
        )
        with st.container(horizontal=True, gap="medium"):
            for name in ("running", "queued", "waiting", "failed", "blocked", "cancelled"):
                if shown.counts[name] or name in ("running", "failed"):
                    st.metric(name.capitalize(), f"{shown.counts[name]:,}", width="content", help=_HELP.get(name))
            st.metric("Reused", f"{shown.reused:,}", width="content", help="Trained before this study was launched.")
            if training:
                st.metric("About left", words.duration(shown.left), width="content", help=ABOUT_LEFT)
                st.metric("Done", words.clock(shown.left, live.zone()), width="content")


def waiting(fingerprints: Container[str]) -> None:
    """Warn that workers of some stages wait for something, once for each host and reason."""
    known, _ = live.workers()
    troubles = Counter((worker.host, worker.trouble) for worker in known if worker.stage in fingerprints)
    for (host, trouble), count in sorted((key, count) for key, count in troubles.items() if key[1] is not None):
        reason = f": {words.plain(trouble)}" if trouble else ""
        several = f" ({words.plural(count, 'worker')})" if count > 1 else ""
        st.warning(f"{words.plain(host)}{several} waits{reason}", icon=":material/hourglass_top:")


def slow(fingerprints: Collection[str]) -> None:
    """Warn of stages that are trained without CUDA graphs, once for each host and reason."""
    known, _ = live.workers()
    counts: Counter[tuple[str, str]] = Counter()
    for worker in known:
        if worker.slow is not None and (now := worker.slow.among(fingerprints).now):
            counts[worker.host, worker.slow.why] += len(now)
    for (host, why), count in sorted(counts.items()):
        reason = f": {words.plain(why)}" if why else ""
        st.warning(
            f"{words.plain(host)} trains {words.plural(count, 'stage')} without CUDA graphs, more slowly{reason}",
            icon=":material/speed:",
        )


@cached(queries.state_marker, max_entries=32, shared=True)
def _names(study_id: str) -> dict[str, str]:
    return stage_names(queries.stages(study_id))


@cached(queries.state_marker, max_entries=32, shared=True)
def _starts(study_id: str) -> dict[str, str | None]:
    """Return the start of each stage, "dense" for a pretraining and None for ADMM, by fingerprint."""
    rows = queries.stages(study_id)
    starts = rows["start"].mask(rows["kind"] == "pretrain", "dense").mask(rows["kind"] == "admm", None)
    return dict(zip(column(rows, "fingerprint"), column(starts.to_frame(), "start"), strict=True))


@cached(queries.state_marker, max_entries=32, shared=True)
def _latest(study_id: str) -> list[str]:
    """Return the fingerprints of the stages in training or, without any, of the last two done, with epochs."""
    rows = queries.stages(study_id)
    recorded = rows[rows["epoch"] > 0]
    running = recorded[recorded["state"] == "running"]
    last = recorded.sort_values("finished_at", na_position="first").tail(2)
    return list((last if running.empty else running)["fingerprint"])[:MOST_CURVES]


@cached(queries.state_marker, max_entries=32)
def _epochs(study_id: str, chosen: tuple[str, ...]) -> tuple[bool, int]:
    """Return whether any epoch of some stages is recorded, and how many epochs the axis of their curves has."""
    rows = queries.stages(study_id)
    drawn = rows[rows["fingerprint"].isin(chosen)]
    recorded = bool((drawn["epoch"] > 0).any())
    return recorded, int((drawn if recorded else rows)["epochs"].max())


def curves(record: StudyRecord) -> None:
    """Show loss and accuracy of the latest stages, or of those that the reader chooses."""
    names = _names(record.study_id)
    st.header("Curves", anchor=False)
    chosen = _chosen(record.study_id, names)
    starts = _starts(record.study_id)
    named = tuple((fingerprint, names[fingerprint], starts[fingerprint]) for fingerprint in chosen)
    recorded, total = _epochs(record.study_id, tuple(chosen))
    about = words.compares(record.study.model_dump())
    charts = [_curves(record.study_id, about, named, curve, total) for curve in _CURVES]
    if not recorded:
        st.markdown(":gray[No epoch is recorded yet of the stages to draw.]")
    else:
        chart.legend_of(charts[0])
    chart.grid(len(charts), 2, lambda index: chart.show(charts[index], f"curves-{_CURVES[index]}"))


@cached(queries.state_marker, max_entries=32, shared=True)
def _curves(
    study_id: str, about: str, named: tuple[tuple[str, str, str | None], ...], curve: Curve, total: int
) -> Chart:
    """Return the curves of some stages; named: fingerprint, name and start of each."""
    names = {fingerprint: name for fingerprint, name, _ in named}
    looks = progress.training_looks({name: start for _, name, start in named})
    epochs = queries.epochs(study_id, tuple(names)) if names else NO_EPOCHS
    epochs = epochs.assign(name=epochs["fingerprint"].map(names))
    return progress.curves(study_id, about, epochs, looks, curve, total)


def convergence(record: StudyRecord) -> None:
    """Show the residuals of ADMM, and how its masks differ from one-shot's."""
    study_id, study = record.study_id, record.study
    residuals = queries.residuals(study_id)
    st.header("ADMM", anchor=False)
    st.caption(
        "How far the weights W are from Z, their projection onto the sparsity budget, after each round: mean over "
        "seeds, a line per pruner, learning rate and sparsity. It falls where ADMM converges."
    )
    if residuals.empty:
        st.markdown(":gray[No ADMM training is done yet.]")
        return
    dataset, network = chart.place_choice(residuals, "residual")
    subject = Subject(study_id, study.name, dataset, network)
    lines = _residuals(subject, study.learning_rates)
    chart.legend_of(lines)
    chart.grid(1, 2, lambda _: chart.show(lines, "residual"))
    st.caption(support_table.ABOUT)
    chart.table(support_table.table(subject.rows(queries.supports(study_id))), "support_table")


@cached(chart.subject_results, max_entries=32, shared=True)
def _residuals(subject: Subject, rates: tuple[float, ...]) -> Chart:
    return progress.residuals(subject, subject.rows(queries.residuals(subject.study_id)), rates)


def _chosen(study_id: str, names: Mapping[str, str]) -> list[str]:
    """Return the fingerprints of the stages to draw."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="curves_choices"):
        which = chart.choice(
            "Stages",
            {LATEST: LATEST, CHOSEN: CHOSEN},
            "curves_which",
            help="The latest are those in training or, if none of these has a recorded epoch, the last two done.",
        )
        if which == LATEST:
            return _latest(study_id)
        # A stage without a recorded epoch has no curve yet.
        rows = queries.stages(study_id)
        recorded = rows[rows["epoch"] > 0]
        dense = recorded[recorded["kind"] == "pretrain"]
        first = list(dense.drop_duplicates("learning_rate")["fingerprint"])[:2]
        return st.multiselect(
            "Stages to draw",
            list(recorded["fingerprint"]),
            default=first,
            format_func=names.__getitem__,
            key=address.several("curves_chosen", recorded["fingerprint"], first, MOST_CURVES),
            max_selections=MOST_CURVES,
            placeholder="Search, such as “fine-tune 90 %”",
            persist_state="page",
        )


def _listed(shown: Snapshot, query: str, states: tuple[str, ...]) -> tuple[pa.Table, int]:
    """Return the first rows of the table of the stages that match, and how many match."""
    running = dict(shown.now)
    matches = matching(shown.rows, running, query, states)
    table = stage_table(matches.head(MOST_STAGES), running, several(shown.rows))
    return pa.Table.from_pandas(table, preserve_index=False), len(matches)


def stages(shown: Snapshot) -> None:
    """Show the table of stages, and the errors of failed ones in full."""
    st.header("Stages", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", key="stages_choices"):
        query = st.text_input(
            "Search stages",
            type="search",
            placeholder="Search, such as “rewind 90 %”",
            key=address.search("stages_search"),
            label_visibility="collapsed",
            persist_state="page",
            width=280,
        )
        present = [state for state, count in shown.counts.items() if count]
        states = st.pills(
            "States",
            present,
            selection_mode="multi",
            key=address.several("stages_states", present),
            label_visibility="collapsed",
            persist_state="page",
        )
    table, matching_stages = _listed(shown, query, tuple(states))
    with st.container(key="stages_table"):
        st.dataframe(
            table,
            hide_index=True,
            height=TABLE_HEIGHT,
            width="stretch",
            key="stages_frame",
            placeholder="",
            column_config={
                "Stage": st.column_config.TextColumn(width=300),
                "Trained": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%", width="small"),
                "Learning rate": st.column_config.NumberColumn(format="%g", width=90),
                "Seed": st.column_config.NumberColumn(format="%d", width=60),
                "Epoch": st.column_config.NumberColumn(format="%,d", width=70),
                "of": st.column_config.NumberColumn(format="%,d", width=60),
                "Epochs/s": st.column_config.NumberColumn(format="%.3g", width=80),
                "Time left": st.column_config.NumberColumn(format="compact", width=90, alignment="right"),
                "Test accuracy (%)": st.column_config.NumberColumn(format="%.2f"),
            },
        )
        count = f"{matching_stages:,} of {words.plural(len(shown.rows), 'stage')}"
        hint = "" if matching_stages == len(table) else f"; the first {len(table):,} are listed, search for others"
        st.caption(count + hint)
    if shown.counts["failed"]:
        failure.errors(shown.rows)

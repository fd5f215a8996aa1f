"""The Progress tab: how far a study is, stage by stage, live while it runs."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import streamlit as st

from app import charts_progress, drawing, live, reading, words
from app.charts_progress import Curve
from app.palette import series
from app.stages_table import shown_table, stage_names
from data.queries import StudyRecord
from tasks import launch
from tasks.broker import BrokerError
from tasks.telemetry import Progress

REFRESH = 2.0
TABLE_HEIGHT = 380
MOST_CURVES = 6
MOST_FAILURES = 10

# What a chart of no epochs is drawn from: its axes stay, so that nothing below moves.
NO_EPOCHS = pd.DataFrame(
    columns=["fingerprint", "epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy"], dtype=float
)

RUNNING, CHOSEN = "running now", "chosen"


def tab(record: StudyRecord) -> None:
    """Show how far a study is, and keep it up to date while it runs."""
    unfinished = record.state not in reading.FINISHED
    every = live.every(record, REFRESH)
    st.fragment(overview, run_every=every)(record.study_id, record.state)
    st.fragment(curves, run_every=every)(record.study_id, unfinished)
    st.fragment(stages, run_every=every)(record.study_id)


def overview(study_id: str, state: str) -> None:
    """Show counts, the progress bar, time left, and what can be done about the study."""
    record = reading.study(study_id)
    if record.state != state:
        # The whole page says how the study stands, so it is drawn anew; tabs and selectors stay as they are.
        st.rerun()
    rows = reading.stages(study_id)
    progress, trouble = live.progress(tuple(rows["fingerprint"])) if state not in reading.FINISHED else ({}, None)
    counts, total = record.counts, len(rows)
    with st.container(key="progress_overview"):
        fraction = live.fraction(rows, progress)
        st.progress(
            fraction, text=f"{counts['done']:,} of {words.plural(total, 'stage')} done · {fraction:.0%} of epochs"
        )
        with st.container(horizontal=True, gap="medium"):
            for name in ("running", "queued", "waiting", "failed", "cancelled"):
                if counts[name] or name in ("running", "failed"):
                    st.metric(name.capitalize(), f"{counts[name]:,}", width="content")
            st.metric("Reused", f"{int(rows['reused'].sum()):,}", width="content", help="Done before this study began.")
            if state not in reading.FINISHED:
                left = live.seconds_left(rows, progress)
                st.metric(
                    "About left",
                    words.duration(left),
                    width="content",
                    help="Epochs still to train, at the speed measured so far, shared among the workers.",
                )
        if trouble:
            st.warning(f"Live speeds are missing: {trouble}", icon=":material/cloud_off:")
        _actions(record)


def _actions(record: StudyRecord) -> None:
    failed = record.counts["failed"] + record.counts["cancelled"]
    with st.container(horizontal=True, key="progress_actions"):
        if record.state not in reading.FINISHED and st.button("Cancel study", icon=":material/cancel:", key="cancel"):
            confirm_cancel(record.study_id)
        if failed and st.button(f"Retry {words.plural(failed, 'stage')}", icon=":material/refresh:", key="retry"):
            try:
                launch.retry(record.study_id)
            except (BrokerError, LookupError, ValueError) as error:
                st.error(str(error))
            else:
                live.expect_change(record.study_id)
                st.rerun()


@st.dialog("Cancel this study?")
def confirm_cancel(study_id: str) -> None:
    """Ask before a study is cancelled."""
    st.markdown(
        "Stages that no other study needs stop, those in training after their epoch. What is done stays done, and the "
        "study can be taken up again with Retry."
    )
    with st.container(horizontal=True):
        if st.button("Cancel the study", type="primary", key="cancel_yes"):
            try:
                launch.cancel(study_id)
            except (BrokerError, LookupError) as error:
                st.error(str(error))
                return
            st.rerun()
        if st.button("Keep it running", key="cancel_no"):
            st.rerun()


def curves(study_id: str, unfinished: bool) -> None:
    """Show loss and accuracy of running stages, or of those that the reader chooses."""
    rows = reading.stages(study_id)
    names = stage_names(rows)
    st.subheader("Curves", anchor=False)
    chosen = _chosen(rows, names, unfinished)
    epochs = reading.epochs(study_id, tuple(chosen)) if chosen else NO_EPOCHS
    epochs = epochs.assign(name=epochs["fingerprint"].map(names))
    looks = {name: replace(look, shape="stroke") for name, look in series(names[f] for f in chosen).items()}
    if epochs.empty:
        st.markdown(":gray[Nothing to draw: no stage with a recorded epoch is running or chosen.]")
    else:
        drawing.legend_row(looks.values(), "", "test images solid, training images dashed")
    total = int(rows["epochs"].max() if epochs.empty else rows[rows["fingerprint"].isin(chosen)]["epochs"].max())

    def cell(index: int) -> None:
        curve: Curve = ("loss", "accuracy")[index]
        chart = charts_progress.curves(epochs, looks, curve, total)
        drawing.show(drawing.spec(chart), f"curves-{curve}", f"Training and test {curve} by epoch.")

    drawing.grid(2, 2, cell)


def _chosen(rows: pd.DataFrame, names: Mapping[str, str], unfinished: bool) -> list[str]:
    """Return the fingerprints of the stages to draw."""
    begun = list(rows[rows["epoch"] > 0]["fingerprint"])
    with st.container(horizontal=True, vertical_alignment="bottom", key="curves_choices"):
        which = st.segmented_control(
            "Stages",
            [RUNNING, CHOSEN],
            default=RUNNING if unfinished else CHOSEN,
            required=True,
            key="curves_which",
            persist_state="page",
        )
        if which == RUNNING:
            return list(rows[rows["state"] == "running"]["fingerprint"])[:MOST_CURVES]
        dense = rows[(rows["kind"] == "pretrain") & (rows["epoch"] > 0)]
        return st.multiselect(
            "Stages to draw",
            begun,
            default=list(dense.drop_duplicates("learning_rate")["fingerprint"])[:2],
            format_func=names.__getitem__,
            key="curves_chosen",
            max_selections=MOST_CURVES,
            placeholder="Search, such as “fine-tune 90 %”",
            persist_state="page",
        )


def stages(study_id: str) -> None:
    """Show the table of stages, and in full what went wrong with those that failed."""
    rows = reading.stages(study_id)
    progress: Mapping[str, Progress] = live.progress(tuple(rows["fingerprint"]))[0] if _lives(rows) else {}
    st.subheader("Stages", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", key="stages_choices"):
        query = st.text_input(
            "Search stages",
            type="search",
            placeholder="Search, such as “rewind 90 %”",
            key="stages_search",
            label_visibility="collapsed",
            persist_state="page",
            width=280,
        )
        present = [state for state in words.STATES if (rows["state"] == state).any()]
        kept = st.pills(
            "States",
            present,
            selection_mode="multi",
            key="stages_states",
            label_visibility="collapsed",
            persist_state="page",
        )
    table = shown_table(rows, progress, query, kept)
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
                "Trained": st.column_config.ProgressColumn(
                    min_value=0.0, max_value=1.0, format="percent", width="small"
                ),
                "Learning rate": st.column_config.NumberColumn(format="%g", width=90),
                "Seed": st.column_config.NumberColumn(format="%d", width=60),
                "Epoch": st.column_config.TextColumn(width=90),
                "Test accuracy (%)": st.column_config.NumberColumn(format="%.2f"),
            },
        )
        st.caption(f"{len(table):,} of {words.plural(len(rows), 'stage')}")
    _failures(rows)


def _lives(rows: pd.DataFrame) -> bool:
    return bool((rows["state"] == "running").any())


def _failures(rows: pd.DataFrame) -> None:
    failed = rows[rows["state"] == "failed"]
    names = stage_names(rows)
    for row in failed.head(MOST_FAILURES).itertuples():
        error = row.error or "The worker left no word of why."
        with st.expander(
            f"Failed: {words.plain(names[row.fingerprint])}", icon=":material/error:", key=f"failure-{row.fingerprint}"
        ):
            st.markdown(f"**{words.plain(error.strip().splitlines()[-1])}**")
            st.caption(f"attempt {row.attempt} on {row.worker or 'an unknown worker'} ({row.host or 'unknown host'})")
            st.code(error, language=None, wrap_lines=True)
    if len(failed) > MOST_FAILURES:
        st.caption(f"{len(failed) - MOST_FAILURES:,} more have failed; the table lists them.")

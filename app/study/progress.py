"""The Progress tab: how far a study is, stage by stage, live while it runs."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

import pandas as pd
import streamlit as st

from app import words
from app.auth import access
from app.charts import progress
from app.charts.overlap import rate_looks
from app.charts.palette import Look, series
from app.charts.progress import Curve
from app.components import chart, support_table
from app.components.stage_names import several, stage_names
from app.export import named as export_named
from app.state import live, queries
from app.state.cache import cached
from app.study.stages_table import matching, shown_table
from data.queries.studies import StudyRecord
from engine.registry import PRUNERS
from tasks.queue.telemetry import Progress

TABLE_HEIGHT = 380
MOST_CURVES = 6
MOST_FAILURES = 10
# Rows of the table of stages; further ones are found by searching. Thousands would be sent anew at every look.
MOST_STAGES = 250

# What a chart of no epochs is drawn from: its axes stay, so that nothing below moves.
NO_EPOCHS = pd.DataFrame(
    columns=["fingerprint", "epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy"], dtype=float
)

LATEST, CHOSEN = "latest", "chosen"


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    rows = queries.stages(record.study_id)
    now: Mapping[str, Progress] = {}
    trouble = None
    if record.state not in queries.FINISHED:
        now, trouble = live.progress(tuple(rows["fingerprint"]))
    overview(record, rows, now)
    if live.is_lost(record):
        told = "The queue does not know this study any more, so nothing of it goes on."
        if access.is_owner():
            told += " `python -m tasks rebuild` on the machine of the dashboard takes it up again."
        st.warning(told, icon=":material/link_off:")
    if trouble:
        st.warning(f"Live speeds are missing: {words.plain(trouble)}", icon=":material/cloud_off:")
    elif record.state not in queries.FINISHED:
        waiting(set(rows["fingerprint"]))
    curves(record, rows)
    if any(PRUNERS[name].admm for name in record.study.pruners):
        convergence(record)
    stages(rows, now)


def overview(record: StudyRecord, rows: pd.DataFrame, now: Mapping[str, Progress]) -> None:
    """Show counts, the progress bar and the time left."""
    counts, total = record.counts, len(rows)
    with st.container(key="progress_overview"):
        fraction = live.fraction(rows, now)
        st.progress(
            fraction, text=f"{counts['done']:,} of {words.plural(total, 'stage')} done · {fraction:.0%} of epochs"
        )
        with st.container(horizontal=True, gap="medium"):
            for name in ("running", "queued", "waiting", "failed", "cancelled"):
                if counts[name] or name in ("running", "failed"):
                    st.metric(name.capitalize(), f"{counts[name]:,}", width="content")
            st.metric("Reused", f"{int(rows['reused'].sum()):,}", width="content", help="Done before this study began.")
            if record.state not in queries.FINISHED:
                left = live.seconds_left(rows, now)
                st.metric(
                    "About left",
                    words.duration(left),
                    width="content",
                    help="Epochs still to train, at the speed measured so far, shared among the workers.",
                )


def waiting(fingerprints: Container[str]) -> None:
    """Warn of what the workers that train some stages wait for, once for all that wait on a host for the same."""
    known, _ = live.workers()
    found = Counter((worker.host, worker.trouble) for worker in known if worker.stage in fingerprints)
    for (host, trouble), count in sorted((key, count) for key, count in found.items() if key[1] is not None):
        # A viewer is shown that it waits, not the paths of the machine.
        reason = f": {words.plain(str(trouble))}" if access.is_owner() else ""
        several = f" ({words.plural(count, 'worker')})" if count > 1 else ""
        st.warning(f"{words.plain(host)}{several} waits{reason}", icon=":material/hourglass_top:")


def curves(record: StudyRecord, rows: pd.DataFrame) -> None:
    """Show loss and accuracy of the latest stages, or of those that the reader chooses."""
    names = stage_names(rows)
    st.subheader("Curves", anchor=False)
    chosen = _chosen(rows, names)
    epochs = _epochs(record.study_id, {fingerprint: names[fingerprint] for fingerprint in chosen})
    looks = _series(names[fingerprint] for fingerprint in chosen)
    if epochs.empty:
        st.markdown(":gray[No epoch is recorded yet of the stages to draw.]")
    else:
        chart.legend_row(looks.values(), "", "test images solid, training images dashed")
    total = int(rows["epochs"].max() if epochs.empty else rows[rows["fingerprint"].isin(chosen)]["epochs"].max())

    def cell(index: int) -> None:
        curve: Curve = ("loss", "accuracy")[index]
        named = tuple((fingerprint, names[fingerprint]) for fingerprint in chosen)
        spec = _drawn_curves(record.study_id, named, curve, total)
        saving = export_named.curves(record, epochs, looks, curve)
        chart.show(spec, f"curves-{curve}", f"Training and test {curve} by epoch.", saving)

    chart.grid(2, 2, cell)


def _series(names: Iterable[str]) -> dict[str, Look]:
    return {name: replace(look, shape="stroke") for name, look in series(names).items()}


def _epochs(study_id: str, names: Mapping[str, str]) -> pd.DataFrame:
    epochs = queries.epochs(study_id, tuple(names)) if names else NO_EPOCHS
    return epochs.assign(name=epochs["fingerprint"].map(names))


@cached(queries.standing, max_entries=32, shared=True)
def _drawn_curves(study_id: str, named: tuple[tuple[str, str], ...], curve: Curve, total: int) -> chart.Spec:
    looks = _series(name for _, name in named)
    return chart.spec(progress.curves(_epochs(study_id, dict(named)), looks, curve, total))


def convergence(record: StudyRecord) -> None:
    """Show how ADMM brings the weights to the sparsity budget."""
    study_id = record.study_id
    found = queries.residuals(study_id)
    st.subheader("ADMM", anchor=False)
    st.caption(
        "How far the weights W are from Z, their projection onto the sparsity budget, after each round: mean over "
        "seeds, a line per pruner, learning rate and sparsity. It falls where ADMM converges."
    )
    if found.empty:
        st.markdown(":gray[No ADMM training is done yet.]")
        return
    dataset, network = chart.place_choice(found, "residual")
    looks = _strokes(record.study.learning_rates).values()
    part = found[(found["dataset"] == dataset) & (found["network"] == network)]
    chart.legend_row(looks, "", progress.residuals_note(part))
    spec = _drawn_residuals(study_id, dataset, network, record.study.learning_rates)
    saving = export_named.residuals(record, dataset, network, found, list(looks))
    chart.grid(1, 2, lambda _: chart.show(spec, "residual", "ADMM's primal residual by round.", saving))
    supports = queries.supports(study_id)
    st.caption(support_table.ABOUT)
    own = supports[(supports["dataset"] == dataset) & (supports["network"] == network)]
    chart.table(support_table.table(own), "support_table")


def _strokes(rates: tuple[float, ...]) -> dict[str, Look]:
    return {name: replace(look, shape="stroke") for name, look in rate_looks(rates).items()}


@cached(queries.measured, max_entries=32, shared=True)
def _drawn_residuals(study_id: str, dataset: str, network: str, rates: tuple[float, ...]) -> chart.Spec:
    found = queries.residuals(study_id)
    part = found[(found["dataset"] == dataset) & (found["network"] == network)]
    return chart.spec(progress.residuals(part, _strokes(rates)))


def _chosen(rows: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Return the fingerprints of the stages to draw."""
    # A short stage is over before the first of its epochs is recorded.
    shown = rows[rows["epoch"] > 0]
    with st.container(horizontal=True, vertical_alignment="bottom", key="curves_choices"):
        which = st.segmented_control(
            "Stages",
            [LATEST, CHOSEN],
            default=LATEST,
            help="Latest are those in training now or, before an epoch of theirs is recorded, the last two to finish.",
            required=True,
            key="curves_which",
            persist_state="page",
        )
        if which == LATEST:
            running = shown[shown["state"] == "running"]
            last = shown.sort_values("finished_at", na_position="first").tail(2)
            return list((last if running.empty else running)["fingerprint"])[:MOST_CURVES]
        dense = shown[shown["kind"] == "pretrain"]
        return st.multiselect(
            "Stages to draw",
            list(shown["fingerprint"]),
            default=list(dense.drop_duplicates("learning_rate")["fingerprint"])[:2],
            format_func=names.__getitem__,
            key="curves_chosen",
            max_selections=MOST_CURVES,
            placeholder="Search, such as “fine-tune 90 %”",
            persist_state="page",
        )


def stages(rows: pd.DataFrame, now: Mapping[str, Progress]) -> None:
    """Show the table of stages, and in full what went wrong with those that failed."""
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
    found = matching(rows, now, query, kept)
    table = shown_table(found.head(MOST_STAGES), now, several(rows))
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
                "Epoch": st.column_config.TextColumn(width=90),
                "Test accuracy (%)": st.column_config.NumberColumn(format="%.2f"),
            },
        )
        told = f"{len(found):,} of {words.plural(len(rows), 'stage')}"
        st.caption(
            told if len(found) == len(table) else f"{told}; the first {len(table):,} are listed, search for others"
        )
    _failures(rows)


def _failures(rows: pd.DataFrame) -> None:
    failed = rows[rows["state"] == "failed"]
    names = stage_names(rows) if len(failed) else {}
    for row in failed.head(MOST_FAILURES).itertuples():
        error = row.error or "The worker left no word of why."
        with st.expander(
            f"Failed: {words.plain(names[row.fingerprint])}", icon=":material/error:", key=f"failure-{row.fingerprint}"
        ):
            st.markdown(f"**{words.plain(error.strip().splitlines()[-1])}**")
            ran = f"attempt {row.attempt} on {row.worker or 'an unknown worker'} ({row.host or 'unknown host'})"
            st.caption(words.plain(ran))
            st.code(error, language=None, wrap_lines=True)
    if len(failed) > MOST_FAILURES:
        st.caption(f"{len(failed) - MOST_FAILURES:,} more have failed; the table lists them.")

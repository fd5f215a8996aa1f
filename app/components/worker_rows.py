"""The workers of each host as rows: their device, the stage in training, and memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import streamlit as st

from app import words
from app.components.stage_names import stage_names
from app.state import live, queries
from data.database.database import DatabaseError
from tasks.queue.telemetry import LiveProgress, Slow, Worker


@dataclass(frozen=True)
class WorkerRow:
    """A worker and the stage that it trains.

    study: the id and name of the stage's study; others: the number of further studies that share the stage. stage: the
    stage's name. speed: of all stages of the worker, in epochs/s.
    """

    worker: Worker
    silent: bool
    progress: LiveProgress | None
    study: tuple[str, str] | None
    others: int
    stage: str | None
    speed: float


@dataclass(frozen=True)
class Host:
    """The workers of one host or container, the silent ones last."""

    name: str
    rows: tuple[WorkerRow, ...]

    @property
    def silent(self) -> bool:
        """Whether all workers of the host are silent."""
        return all(row.silent for row in self.rows)


def by_host(workers: Iterable[Worker]) -> list[Host]:
    """Return workers by host with the stages that they train, silent hosts last."""
    rows = _rows(list(workers))
    rows.sort(key=lambda row: (row.worker.host, _machine(row.worker), row.silent, row.worker.device, row.worker.name))
    groups = groupby(rows, key=lambda row: (row.worker.host, _machine(row.worker)))
    return sorted((Host(name, tuple(group)) for (name, _), group in groups), key=lambda host: host.silent)


def _machine(worker: Worker) -> str:
    """Return the part of a worker's name that all workers of its host or container share."""
    return worker.name.rpartition(":")[0]


def _rows(workers: list[Worker]) -> list[WorkerRow]:
    fingerprints = tuple(sorted({stage for worker in workers for stage in _stages(worker)}))
    now, _ = live.progress(fingerprints)
    studies, names = _studies(fingerprints)
    moment = datetime.now(UTC)
    rows = []
    for worker in workers:
        stage = worker.stage or ""
        # Another worker may have taken the stages of a silent one.
        progress = {key: now[key] for key in _stages(worker) if key in now and now[key].worker == worker.name}
        study_id, name, count = studies.get(stage, ("", "", 0))
        rows.append(
            WorkerRow(
                worker,
                worker.is_silent(moment),
                progress.get(stage),
                (study_id, name) if study_id else None,
                count - 1,
                names.get(stage),
                sum(training.epochs_per_second for training in progress.values()),
            )
        )
    return rows


def _stages(worker: Worker) -> tuple[str, ...]:
    return () if worker.stage is None else (worker.stage, *worker.beside)


def _studies(fingerprints: tuple[str, ...]) -> tuple[dict[str, tuple[str, str, int]], dict[str, str]]:
    """Return, by fingerprint, the id and name of each stage's study with the number that share it; and its name."""
    if not fingerprints or not queries.exists():
        return {}, {}
    try:
        rows = queries.studies_of(fingerprints)
    except DatabaseError as error:
        st.warning(f"The stages in training are unknown: {words.plain(str(error))}", icon=":material/database_off:")
        return {}, {}
    columns = ["fingerprint", "study_id", "study", "studies"]
    studies = {
        key: (study_id, name, int(count)) for key, study_id, name, count in rows[columns].itertuples(index=False)
    }
    return studies, stage_names(rows, with_network=True)


def draw(host: Host, most: int) -> None:
    """Show a host with at most `most` of its workers."""
    key = _machine(host.rows[0].worker)
    with st.container(border=True, key=f"host-{key}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            lost = " :red-badge[silent]" if host.silent else ""
            st.markdown(
                f"**{words.plain(host.name)}** :gray[· {words.plural(len(host.rows), 'worker')}]{lost}", width="content"
            )
            _host_memory(host)
        for warning in sorted({row.worker.warning for row in host.rows if row.worker.warning and not row.silent}):
            st.warning(words.plain(warning[0].upper() + warning[1:]), icon=":material/memory:")
        for row in host.rows[:most]:
            _draw(row)


def _host_memory(host: Host) -> None:
    reports = [(row.worker.seen, row.worker.memory) for row in host.rows if not row.silent and row.worker.memory]
    if reports:
        _, latest = max(reports, key=lambda pair: pair[0])
        with st.container(width=300):
            _used("Memory of the host", latest.total - latest.available, latest.total)


def _used(label: str, used: int, total: int) -> None:
    _bar(f"{label}: {words.size(used)} of {words.size(total)}", used / max(1, total))


def _bar(text: str, fraction: float) -> None:
    st.progress(min(1.0, max(0.0, fraction)), text=f":small[{text}]")


def _draw(row: WorkerRow) -> None:
    worker = row.worker
    with st.container(key=f"worker-{worker.name}", gap="xsmall"):
        name, training, memory, history = st.columns([3, 6, 3, 4], gap="small")
        with name, st.container(gap=None):
            st.markdown(_badge(row))
            st.caption(f"{words.plain(worker.name)}  \n{_device(worker)}")
        with training, st.container(gap=None):
            _training(row)
        with memory, st.container(gap=None):
            # The last report of a silent worker says little about the present.
            if not row.silent:
                _memory(worker)
        with history, st.container(gap=None):
            st.caption("  \n".join(_history(row)))
        if worker.trouble is not None and not row.silent:
            st.warning(f"Waits: {words.plain(worker.trouble)}", icon=":material/hourglass_top:")
        if worker.slow is not None and not row.silent:
            st.warning(_slow(worker.slow), icon=":material/speed:")


def _slow(slow: Slow) -> str:
    count = words.plural(slow.stages, "stage")
    if slow.now:
        return f"Trains without CUDA graphs, more slowly ({count} since its start): {words.plain(slow.why)}"
    return f"Trained {count} without CUDA graphs, more slowly; the last because of: {words.plain(slow.why)}"


def _badge(row: WorkerRow) -> str:
    if row.silent:
        return f":red-badge[:material/sensors_off: silent for {words.duration(row.worker.silence())}]"
    return f":{words.WORKER_STATES[row.worker.state]}-badge[{row.worker.state}]"


def _device(worker: Worker) -> str:
    return words.plain(f"{worker.device} · {worker.gpu}" if worker.gpu else worker.device)


def _training(row: WorkerRow) -> None:
    if row.worker.stage is None:
        st.caption("had no stage" if row.silent else "waits for a stage")
        return
    if row.silent:
        st.caption("was training, before it fell silent:")
    if row.study is None:
        st.caption(f"stage {words.plain(row.worker.stage[:8])} of a study that is not recorded yet")
    else:
        study_id, name = row.study
        shared = f" :gray[and {words.plural(row.others, 'more study', 'more studies')}]" if row.others > 0 else ""
        st.page_link("views/study.py", label=f"**{words.plain(name)}**{shared}", query_params={"study": study_id})
        st.caption(words.plain(row.stage or ""))
    if row.progress is not None:
        epoch, epochs, speed = row.progress.epoch, row.progress.epochs, row.progress.epochs_per_second
        _bar(f"epoch {epoch:,} of {epochs:,} · {speed:.3g} epochs/s", epoch / max(1, epochs))
    if row.worker.beside:
        st.caption(
            f"and {words.plural(len(row.worker.beside), 'stage')} of its shape side by side with it · "
            f"{row.speed:.3g} epochs/s together"
        )


def _memory(worker: Worker) -> None:
    memory = worker.memory
    if memory is None:
        return
    if memory.gpu_used is None or memory.gpu_total is None:
        _used("Process", memory.resident, memory.total)
    else:
        _used("GPU", memory.gpu_used, memory.gpu_total)
        st.caption(f"process {words.size(memory.resident)}")


def _history(row: WorkerRow) -> list[str]:
    worker, now = row.worker, datetime.now(UTC)
    lines = []
    if not row.silent:
        activity = "idle" if worker.stage is None else "on this stage"
        lines.append(f"{activity} for {words.duration((now - worker.since).total_seconds())}")
        lines.append(f"last heard of {words.duration(worker.silence(now))} ago")
    done = f"{words.plural(worker.stages, 'stage')}, {words.plural(worker.epochs, 'epoch')} done"
    if worker.started is not None:
        done += f" in {words.duration((worker.seen - worker.started).total_seconds())}"
    return [*lines, done]

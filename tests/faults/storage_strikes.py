"""Faults of files, disks and the database: each function injects one and waits until work continues."""

import os
import signal
import time
from pathlib import Path

from engine.study.plan import Stage
from tasks.process import python, spawn
from tasks.queue import leases, telemetry
from tasks.studies.launch import launched_stages
from tests.faults.process_strikes import kill_worker
from tests.faults.target import Strike, Target, resumed_after
from tests.faults.world import SmallDisk
from tests.machine import notebook


def cut_checkpoint(at: Target) -> Strike:
    """Truncate a checkpoint, and kill the worker before it writes the next."""
    artifacts = Path(at.world.config.artifacts)
    # A stage writes its first checkpoint after five seconds.
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        at.world.tend()
        for fingerprint, (attempt, _, pid) in at.world.running().items():
            checkpoint = artifacts / "weights" / fingerprint / "checkpoint.safetensors"
            if checkpoint.exists():
                begin = time.time()
                os.kill(pid, signal.SIGKILL)
                os.truncate(checkpoint, at.draw.randrange(checkpoint.stat().st_size))
                return Strike("checkpoint cut short", fingerprint[:8], resumed_after(at, fingerprint, attempt, begin))
        time.sleep(0.02)
    return cut_weights(at)


def cut_weights(at: Target) -> Strike:
    """Truncate weights of a finished stage that a stage will read which has not begun."""
    begin = time.time()
    stages = launched_stages(leases.launched(at.world.redis, at.study_id) or {"stages": []})
    states = leases.states(at.world.redis, list(stages))
    to_begin = [stage for key, stage in stages.items() if states[key] in ("waiting", "queued") and stage.parent]
    needed = sorted({file for stage in to_begin for file in _read_by(stage) if states[file[0]] == "done"})
    if not needed:
        return kill_worker(at)
    fingerprint, name = at.draw.choice(needed)
    path = Path(at.world.config.artifacts, "weights", fingerprint, f"{name}.safetensors")
    os.truncate(path, at.draw.randrange(path.stat().st_size))
    at.world.wait(lambda: at.world.progressed(begin + 0.5))
    return Strike("weights cut short", f"{name} of {fingerprint[:8]}", time.time() - begin)


def _read_by(stage: Stage) -> list[tuple[str, str]]:
    """Return the stages and names of the weights that a retraining reads when it begins."""
    parent, root = str(stage.parent), str(stage.root)
    by_start = {"winning_ticket": "initial", "rewind": "rewind", "finetune": "trained"}.get(str(stage.start))
    within = [(parent, "mask")] if len(stage.rounds) > 1 else []
    return [(parent, "trained"), *within, *([(root, by_start)] if by_start else [])]


def fill_disk(at: Target) -> Strike:
    """Fill the disk of the artifact store for 8 seconds."""
    return _filled(at, at.disk, "disk full")


def fill_home(at: Target) -> Strike:
    """Fill the disk of the home, with Redis, the database and all logs, for 8 seconds."""
    return _filled(at, at.home, "disk of the home full")


def _filled(at: Target, disk: SmallDisk, kind: str) -> Strike:
    ballast = disk.fill()
    time.sleep(8.0)
    begin = time.time()
    ballast.unlink()
    at.world.wait(lambda: at.world.progressed(begin))
    return Strike(kind, "for 8 s", time.time() - begin)


def stop_holder(at: Target) -> Strike:
    """Stop a process that reads the database, as Ctrl-Z stops a backup, for 12 seconds."""
    hold = (
        "import os, signal, sys; from pathlib import Path; from data.database.database import Database\n"
        "with Database(Path(sys.argv[1])).at_rest(): os.kill(os.getpid(), signal.SIGSTOP)"
    )
    process = spawn(python("-c", hold, str(at.world.config.database)), at.world.logs / "holder.log")
    time.sleep(12.0)
    begin = time.time()
    process.kill()
    process.wait()
    assert telemetry.wait_until_recorded(at.world.redis, 60.0)
    return Strike("holder of the database stopped", "for 12 s", time.time() - begin)


def open_notebook(at: Target) -> Strike:
    """Hold the database open in another program, which reads and then writes, for 5 seconds each."""
    for read_only in (True, False):
        with notebook(at.world.config.database, read_only):
            time.sleep(5.0)
            begin = time.time()
        last = telemetry.last_event(at.world.redis)
        at.world.wait(lambda until=last: telemetry.recorded_until(at.world.redis, until))
    return Strike("database open in a notebook", "twice for 5 s", time.time() - begin)

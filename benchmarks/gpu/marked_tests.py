"""Runs the tests that are marked gpu, also on a machine that has little beside pytest and PyTorch."""

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu import child
from benchmarks.gpu.record import Record
from tasks.process import ROOT, python

# Where the streams of a backward pass differ, it costs time, and a step may not be recorded.
STREAMS_DIFFER = "error:The AccumulateGrad node's stream does not match"
MARK = "pytest.mark.gpu"
KINDS = ("PASSED", "FAILED", "ERROR", "SKIPPED")
OUTCOME = re.compile(rf"^(\S+::.+?) ({'|'.join(KINDS)})\b", re.MULTILINE)
BROKEN = re.compile(r"^ERROR (?:collecting )?(tests/\S+)", re.MULTILINE)
REASON = re.compile(r"^SKIPPED \[\d+\] \S+: (.*)$", re.MULTILINE)
# Settings that need no plugin of pytest.
INI = """[pytest]
addopts = --import-mode=importlib
pythonpath = {root}
filterwarnings = error
markers =
    gpu: needs a CUDA device
"""
# The fixtures of all tests need Redis and DuckDB, those of the engine's do not.
OPTIONS = (
    *("--noconftest", "-p", "tests.engine.conftest", "-p", "no:cacheprovider", "-m", "gpu", "-v", "-rs", "--tb=short"),
    *("--continue-on-collection-errors", "-W", STREAMS_DIFFER),
)


def run(record: Record, say: Callable[[str], None], work: Path, until: float) -> None:
    """Run the tests until a moment, and record how they end, unless an earlier run has brought them to their end."""
    if record.get("tests", "ended"):
        return
    files = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in file.read_text("utf-8")]
    ini, log = work / "pytest.ini", work / "tests.log"
    ini.parent.mkdir(parents=True, exist_ok=True)
    ini.write_text(INI.format(root=ROOT), encoding="utf-8")
    command = python("-m", "pytest", "-c", str(ini), "--rootdir", str(ROOT), *OPTIONS, *files)
    ended = child.run(command, log, lambda: until)
    text = log.read_text(encoding="utf-8", errors="replace")
    outcomes = OUTCOME.findall(text)
    counts = {kind.lower(): sum(outcome == kind for _, outcome in outcomes) for kind in KINDS}
    failing = [f"{name}: {outcome.lower()}" for name, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    failing += [f"{name}: cannot be imported" for name in dict.fromkeys(BROKEN.findall(text)) if "::" not in name]
    # pytest's code is 5 where no test was selected, and 1 where some failed.
    why = ended.why if ended.code is None or not (outcomes or ended.code in (0, 5)) else ""
    reasons = list(dict.fromkeys(REASON.findall(text)))
    about = {"reasons": reasons, "failing": failing, "why": why, "seconds": ended.seconds}
    record.put({**counts, **about, "ended": ended.code is not None and not why}, "tests")
    in_words = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "none ran"
    for line in (f"{in_words}{f' ({why})' if why else ''}", *failing):
        say(f"tests: {line}")

"""The README is short, and its snippet prints the lines that it states."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def test_the_readme_has_at_most_150_lines() -> None:
    assert README.count("\n") <= 150


def test_the_snippet_prints_the_lines_below_it() -> None:
    snippet = re.search(r"```python\n(?P<code>.*?)```\n\n(?P<printed>(?: {4}[^\n]*\n)+)", README, re.DOTALL)
    assert snippet is not None
    assert len(snippet["code"].splitlines()) <= 25
    # The snippet runs on one thread, since several threads of a busy machine wait for each other at every step.
    run = subprocess.run(
        [sys.executable, "-c", snippet["code"]],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    printed, stated = run.stdout.splitlines(), [line.strip() for line in snippet["printed"].splitlines()]
    assert [NUMBER.sub("", line) for line in printed] == [NUMBER.sub("", line) for line in stated]
    # Processors add in different orders, which changes the second digit after a training of 100 steps.
    assert _numbers(printed) == pytest.approx(_numbers(stated), abs=0.02)


def _numbers(lines: list[str]) -> list[float]:
    return [float(number) for line in lines for number in NUMBER.findall(line)]

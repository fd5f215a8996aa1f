"""What a run has measured so far: a file of results and a report, both written anew after each measurement."""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu import report
from data.atomic import write_whole

RESULTS, REPORT = "results.json", "report.md"


class OtherRun(Exception):
    """The folder holds results of other settings, which must not be mixed with these."""


class Record:
    """The results in a folder, which a later run with the same settings continues."""

    def __init__(self, out: Path) -> None:
        self._out = out
        file = out / RESULTS
        self.values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def put(self, value: object, *keys: str) -> None:
        """Set a value at nested keys, and write both files."""
        table = self.values
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1]] = value
        self.write()

    def get(self, *keys: str) -> Any:
        """Return the value at nested keys, None where there is none."""
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def require(self, settings: Mapping[str, object]) -> None:
        """Note the settings that all runs of the folder share; OtherRun where an earlier run had others."""
        before = self.get("settings") or {}
        for name, value in settings.items():
            if name in before and before[name] != value:
                raise OtherRun(
                    f"{self._out} has results with {name} {before[name]!r}, and this run has {value!r}; "
                    "give another --out"
                )
        self.put(dict(settings), "settings")

    def write(self) -> None:
        """Write both files, each whole or not at all."""
        write_whole(self._out / RESULTS, (json.dumps(self.values, indent=1) + "\n").encode())
        try:
            text = report.text(self.values)
        except Exception:  # A fault of the report must not end the measurements.
            text = f"The report could not be made; {RESULTS} has all numbers.\n\n{traceback.format_exc()}"
        write_whole(self._out / REPORT, text.encode())

"""Makes accuracies, verdicts, a bundle and pictures of a figure's results in a process of its own, as far as it can."""

import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu import child
from engine.paper.figures import REPORTED
from engine.study.plan import Plan, plan
from engine.study.results import StageResult
from engine.study.spec import read_study

STUDY_ID = "gpu-main-fig2"
BUNDLE = "figure.ticketscope.zip"


def opened(file: Path) -> tuple[Plan, dict[str, StageResult]]:
    """Return the plan and the results in the file that `benchmarks.gpu.figure` wrote."""
    values = json.loads(file.read_text(encoding="utf-8"))
    results = {name: StageResult.from_json(result) for name, result in values["results"].items()}
    return plan(read_study(values["toml"], recorded=True), values["identities"]), results


def accuracies(planned: Plan, results: dict[str, StageResult]) -> list[dict[str, Any]]:
    """Return the final test accuracies in percent, by learning rate, start and sparsity; diverged ones are left out."""
    groups: dict[tuple[float, float, str], list[float]] = {}
    for role in planned.roles:
        result = results.get(role.fingerprint)
        if result is not None and result.diverged is None:
            key = (role.learning_rate, role.sparsity, role.start)
            groups.setdefault(key, []).append(result.final.test_accuracy)
    return [
        {
            "learning_rate": rate,
            "sparsity": sparsity,
            "start": start,
            "mean": statistics.fmean(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "n": len(values),
            "paper": _in_the_paper(rate, sparsity, start),
        }
        for (rate, sparsity, start), values in sorted(groups.items())
    ]


def _in_the_paper(rate: float, sparsity: float, start: str) -> float | None:
    """Return the accuracy that the paper's text states for a point of the figure, None where it states none."""
    for row in REPORTED:
        of_figure = (row.quantity, row.dataset, row.network) == ("accuracy", "cifar10", "resnet20")
        # The text gives sparsities in whole percent.
        if of_figure and (row.learning_rate, row.start) == (rate, start) and abs(row.sparsity - sparsity) < 0.005:
            return row.value
    return None


def record(planned: Plan, results: dict[str, StageResult], file: Path) -> Any:
    """Return a new database at a path in which a study is recorded with its results so far."""
    from benchmarks.full_database import launched
    from data.database.database import Database
    from data.database.events import Event

    file.unlink(missing_ok=True)
    database, at = Database(file), datetime.now(UTC)
    database.ensure()
    bodies: list[tuple[str, dict[str, Any]]] = [("launched", launched(STUDY_ID, planned, at))]
    for fingerprint, result in results.items():
        ended = {"fingerprint": fingerprint, "state": "done", "attempt": 1, "at": at.isoformat()}
        bodies.append(("result", {"fingerprint": fingerprint, "result": result.to_json()}))
        bodies.append(("stage", {**ended, "worker": "benchmark", "host": "benchmark", "device": result.device}))
    milliseconds = int(at.timestamp() * 1000)
    database.record([Event(f"{milliseconds}-{number}", *body) for number, body in enumerate(bodies)])
    return database


def bundle(database: Any, out: Path) -> None:
    """Write the study as a bundle that `ticketscope import` reads."""
    from data.bundles.writer import write_file

    written = write_file(database, STUDY_ID, out / BUNDLE, "benchmarks.gpu")
    child.say({"bundle": {"file": BUNDLE, "results": written.results, "stages": written.stages}})


def verdicts(database: Any, out: Path) -> None:
    """Say the verdicts on the claims that the study's runs can answer."""
    del out
    from tasks.cli.verdicts import values, verdicts_of

    child.say({"verdicts": [row for row in values(verdicts_of(database, STUDY_ID)) if row["verdict"] != "missing"]})


def pictures(database: Any, out: Path) -> None:
    """Write the charts of accuracy against sparsity: as SVG, or without vl-convert as Vega-Lite."""
    from app.export.charts import places
    from data.queries import studies

    files = []
    for place in places(database, studies.study(database, STUDY_ID)):
        for chart in place.charts["accuracy"]:
            name = f"accuracy-{len(files) + 1}"
            files.append(_drawn(chart, out / name))
    child.say({"pictures": files})


def _drawn(chart: Any, path: Path) -> str:
    from app.charts.picture import svg

    try:
        file, content = path.with_suffix(".svg"), svg(chart.picture)
    except ImportError as error:
        child.say({"without": f"SVG: there is no package {error.name}, so the picture is Vega-Lite; --finish draws it"})
        file, content = path.with_suffix(".vl.json"), json.dumps(chart.picture)
    file.write_text(content, encoding="utf-8")
    return file.name


def hours(task: dict[str, Any]) -> None:
    """Say how many hours all figures of the paper take at the measured speeds."""
    from benchmarks import paper_cost

    child.say({"paper_hours": paper_cost.hours(paper_cost.work()["everywhere"], task["speeds"])})


def main() -> None:
    """Make each part, and say which is done without as a package is missing."""
    task = child.task()
    out, work = Path(task["out"]), Path(task["work"])
    if task["speeds"]:
        _try("hours for the whole paper", lambda: hours(task))
    if not Path(task["file"]).exists():
        return
    planned, results = opened(Path(task["file"]))
    child.say({"accuracies": accuracies(planned, results)})
    database: Any = None

    def make_database() -> None:
        nonlocal database
        database = record(planned, results, work / "figure.duckdb")

    _try("verdicts, bundle and pictures", make_database)
    if database is not None:
        for what, make in (("bundle", bundle), ("verdicts", verdicts), ("pictures", pictures)):
            _try(what, lambda make=make: make(database, out))  # type: ignore[misc]


def _try(what: str, make: Callable[[], None]) -> None:
    try:
        make()
    except ImportError as error:
        child.say({"without": f"{what}: there is no package {error.name}; --finish makes them where it is"})
    except Exception as error:  # The other parts do not depend on it.
        child.say({"without": f"{what}: {type(error).__name__}: {error}"[:400]})


if __name__ == "__main__":
    main()

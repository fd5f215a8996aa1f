"""The parts of a run that train: the speeds, the figure, and the end; each records what it finds at once."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu import child
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.design import Speed, fitting, from_json
from benchmarks.gpu.record import Record
from tasks.process import ROOT

NETWORKS = ("resnet20", "vgg11", "mobilenet_v2", "lenet300")
PRECISIONS = ("fp32", "bf16")
FIGURES_NETWORK = "resnet20"
BATCH_SIZE = 128
# More seeds than these do not change a verdict.
MOST_SEEDS = 20
NO_TIME = "no time was left"
# A single case may take at least these seconds before its process is killed.
CASE_SECONDS = 20.0
# A training that is asked to stop finishes its epoch and saves itself within these seconds.
STOP_SECONDS = 6.0


@dataclass(frozen=True)
class Context:
    """What all parts share; say: prints a line. train, test, epochs: of a scaled-down run, else None, None, 150."""

    record: Record
    clock: Clock
    say: Callable[[str], None]
    out: Path
    work: Path
    device: str
    images: str
    train: int | None
    test: int | None
    epochs: int
    together: int
    precision: str

    @property
    def home(self) -> Path:
        """The folder of cached datasets."""
        return self.work / "home"

    @property
    def task(self) -> dict[str, Any]:
        """What every process that trains is asked."""
        return {
            "device": self.device,
            "images": self.images,
            "home": str(self.home),
            "train": self.train,
            "test": self.test,
        }


def cases(network: str, together: int) -> Iterator[dict[str, Any]]:
    """Yield what is measured of a network, the most important first."""
    beside = (1, together) if together > 1 else (1,)
    for count in beside:
        for precision in PRECISIONS:
            yield _case("engine", network, precision, count)
    yield _case("plain", network, "fp32", 1)
    for count in beside:
        for precision in PRECISIONS:
            yield _case("kernels", network, precision, count)


def _case(kind: str, network: str, precision: str, together: int) -> dict[str, Any]:
    key = f"{kind}/{network}/{precision}/{together}"
    about = {"network": network, "precision": precision, "together": together, "batch_size": BATCH_SIZE}
    return {"key": key, "kind": kind, "group": network, **about}


def speeds(context: Context) -> None:
    """Measure the cases that no earlier run has measured, in one process unless a case crashes or hangs it."""
    floor = {"key": "floor", "kind": "floor", "group": "floor"}
    wanted = [*(case for network in NETWORKS for case in cases(network, context.together)), floor]
    left = [case for case in wanted if not _is_measured(context.record, case["key"])]
    # What an earlier run could not measure comes after what it did not try.
    left.sort(key=lambda case: context.record.get("cases", case["key"], "failed") not in (None, NO_TIME))
    while left:
        left = _measure(context, left)


def _is_measured(record: Record, key: str) -> bool:
    case = record.get("cases", key)
    return case is not None and not case.get("failed") and not case.get("provisional")


def _measure(context: Context, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure cases in one process, and return those that are left if one ended it, without that one."""
    open_cases = {case["key"]: case for case in wanted}
    end = context.clock.until("speeds")
    # A case that takes longer than all of its group should hangs, or is too slow to be measured here.
    share = (end - context.clock.now()) / len({case["group"] for case in wanted})
    longest = max(CASE_SECONDS, 1.5 * share)
    begun: list[tuple[str, float]] = []

    def until() -> float:
        return min(end, begun[-1][1] + longest) if begun else end

    def said(value: dict[str, Any]) -> None:
        if "begins" in value:
            begun.append((value["begins"], context.clock.now()))
            return
        case = open_cases.pop(value["case"], None) or next(c for c in wanted if c["key"] == value["case"])
        values = value.get("values", {"failed": value.get("failed")})
        context.record.put({**_about(case), **values}, "cases", case["key"])
        context.say(f"speeds: {case['key']}: {value.get('failed') or _short(values)}")

    ended = child.start("speeds", {**context.task, "cases": wanted, "until": end}, context.work, until, said)
    at_fault = open_cases.pop(begun[-1][0], None) if ended.why and begun else None
    if at_fault is not None:
        _fail(context, [at_fault], ended.why)
    if not ended.why or not begun or context.clock.now() >= end:
        _fail(context, list(open_cases.values()), ended.why if ended.code else NO_TIME)
        return []
    return list(open_cases.values())


def _about(case: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in case.items() if name not in ("key", "group")}


def _fail(context: Context, group: list[dict[str, Any]], why: str) -> None:
    for case in group:
        context.record.put({**_about(case), "failed": why}, "cases", case["key"])
    if group:
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        context.say(f"speeds: {group[0]['key']}{more}: {why}")


def _short(values: dict[str, Any]) -> str:
    if "seconds_per_epoch" in values:
        beside = f", {values['together']} side by side" if values.get("together", 1) > 1 else ""
        return f"{values['seconds_per_epoch']['median']:.3f} s per epoch{beside}"
    if "idle_share" in values:
        return f"{values['kernels']:.0f} kernels, {values['milliseconds']:.2f} ms, {values['idle_share']:.0%} idle"
    return "measured"


def speed(record: Record, network: str, precision: str) -> Speed | None:
    """Return how fast a network trains, from the cases that are measured; None where none is."""
    rows = [
        case
        for case in (record.get("cases") or {}).values()
        if case["kind"] == "engine" and (case["network"], case["precision"]) == (network, precision)
    ]
    seconds = {row["together"]: row["seconds_per_epoch"]["median"] for row in rows if "seconds_per_epoch" in row}
    if not seconds:
        return None
    best = min(seconds, key=seconds.__getitem__)
    return Speed(seconds.get(1, best * seconds[best]), seconds[best], best)


def figure(context: Context) -> None:
    """Train the main figure 2, as much as fits into the time that is left, from where an earlier run was cut off."""
    record, until = context.record, context.clock.until("figure") - STOP_SECONDS
    measured = speed(record, FIGURES_NETWORK, context.precision)
    planned = record.get("figure", "design")
    left = max(0.0, until - context.clock.now())
    design = from_json(planned) if planned else fitting(measured, context.epochs, left)
    about = {"design": design.to_json(), "epochs": context.epochs, "precision": context.precision}
    record.put({**(record.get("figure") or {}), **about, "why": ""}, "figure")
    context.say(f"figure: sparsities {', '.join(map(str, design.sparsities))}, {design.seeds} seeds at first")

    def said(value: dict[str, Any]) -> None:
        if "line" in value:
            context.say(f"figure: {value['line']}")
        else:
            record.put({**record.get("figure"), **value}, "figure")

    cuda = context.device != "cpu"
    task = {
        **context.task,
        **about,
        "most_seeds": MOST_SEEDS,
        "artifacts": str(context.work / "artifacts"),
        "file": str(context.out / "figure.json"),
        # On a CPU networks of convolutions train one after the other.
        "together": (measured.together if measured else context.together) if cuda else None,
    }
    ended = child.start("figure", task, context.work, lambda: until, said, STOP_SECONDS)
    if ended.why:
        record.put(ended.why, "figure", "why")
        context.say(f"figure: {ended.why}")


def end(record: Record, say: Callable[[str], None], out: Path, work: Path, until: float) -> None:
    """Make bundle, verdicts and pictures of what is trained, as far as the packages that are here allow it."""
    train = record.get("settings", "train_images") or record.get("images", "train")
    record.put({"without": []}, "end")

    def said(value: dict[str, Any]) -> None:
        if "without" in value:
            record.put([*record.get("end", "without"), value["without"]], "end", "without")
            say(f"end: {value['without']}")
        else:
            record.put({**record.get("end"), **value}, "end")
            say(f"end: {', '.join(value).replace('_', ' ')}")

    full = {} if train is None else _speeds_of_an_epoch(record, train)
    task = {"out": str(out), "work": str(work), "file": str(out / "figure.json"), "speeds": full}
    ended = child.start("finish", task, work, lambda: until, said)
    if ended.why:
        said({"without": f"the rest: {ended.why}"})


def _speeds_of_an_epoch(record: Record, train: int) -> dict[str, float]:
    """Return the least seconds of an epoch of CIFAR of the paper's networks; empty unless all three are measured."""
    found: dict[str, float] = {}
    for network in NETWORKS[:3]:
        measured = [one.beside for precision in PRECISIONS if (one := speed(record, network, precision))]
        if not measured:
            return {}
        found[network] = min(measured) * 50_000 / train
    return found


def clean_environment(work: Path, packages: Path | None) -> None:
    """Set for all processes that this one starts: a home, the carried packages, and no settings of the user."""
    for name in [name for name in os.environ if name.startswith("TICKETSCOPE_") or name == "REDIS_URL"]:
        del os.environ[name]
    os.environ.update(TICKETSCOPE_HOME=str(work / "home"), TICKETSCOPE_CONFIG=os.devnull)
    paths = [str(ROOT), *([str(packages)] if packages else []), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

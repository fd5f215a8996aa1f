"""Tests, speeds and main figure 2 on a GPU within some minutes: python -m benchmarks.gpu --minutes 10 --data FOLDER.

This process imports the standard library alone, so that it runs, and says what is missing, on any machine.
"""

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.gpu import carried, child, marked_tests, parts
from benchmarks.gpu.clock import SHARES, Clock
from benchmarks.gpu.record import OtherRun, Record

# What a CPU trains on, and for how many epochs, where nothing else is requested: enough to see that all parts work.
ON_A_CPU = {"train_images": 128, "test_images": 100, "epochs": 2, "together": 2}
ON_A_GPU = {"train_images": None, "test_images": None, "epochs": 150, "together": 16}


def main() -> int:
    """Run what the command line names, and return an exit status: 1 unless every part came to its end."""
    arguments = _arguments()
    if arguments.carry:
        for line in carried.collect(arguments.carry, arguments.python, arguments.budget, arguments.present):
            print(line)
        return 0
    out = arguments.out.resolve()
    work = (arguments.work or out / "work").resolve()
    clock = Clock(arguments.minutes, arguments.parts)
    say = _sayer(clock)
    try:
        packages = carried.unpacked(arguments.wheels.resolve(), work) if arguments.wheels else None
        parts.clean_environment(work, packages)
        record = Record(out)
        if arguments.finish:
            parts.end(record, say, out, work, clock.end)
            return 0
        return _run(arguments, clock, record, say, out, work)
    except (OtherRun, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace, clock: Clock, record: Record, say: Any, out: Path, work: Path) -> int:
    runs = record.get("runs") or []
    place = len(runs)
    record.put([*runs, {"minutes": arguments.minutes, "seconds": 0.0, "ended": False}], "runs")

    def note(ended: bool = False) -> None:
        record.values["runs"][place] = {
            "minutes": arguments.minutes,
            "seconds": clock.seconds - clock.left(),
            "ended": ended,
        }
        record.write()

    prepared = _Images(arguments, record, say, work, clock)
    if "tests" in arguments.parts:
        marked_tests.run(record, say, work, clock.until("tests"))
        note()
    context = prepared.context(out)
    if context is not None:
        for name, part in (("speeds", parts.speeds), ("figure", parts.figure)):
            if name in arguments.parts:
                part(context)
                note()
    parts.end(record, say, out, work, clock.end)
    note(ended=True)
    say(f"wrote {out / 'report.md'}")
    return int(context is None)


class _Images:
    """The images, which another process makes ready while the tests run."""

    def __init__(self, arguments: argparse.Namespace, record: Record, say: Any, work: Path, clock: Clock) -> None:
        self._arguments, self._record, self._say, self._work, self._clock = arguments, record, say, work, clock
        self._found: dict[str, Any] = {}
        data = arguments.data.resolve() if arguments.data else None
        if data is not None and not data.exists():
            raise FileNotFoundError(f"there is no {data}; give --data a folder with train/ and test/, or its archive")
        task = {"device": arguments.device, "data": data and str(data), "work": str(work), "home": str(work / "home")}
        self._ended: child.Ended | None = None
        self._thread = threading.Thread(target=self._prepare, args=(task,))
        self._thread.start()

    def _prepare(self, task: dict[str, Any]) -> None:
        until = self._clock.end
        self._ended = child.start("images", task, self._work, lambda: until, self._found.update)

    def context(self, out: Path) -> parts.Context | None:
        """Wait for the images, and return what the other parts need; None where there are none."""
        self._thread.join()
        record, arguments = self._record, self._arguments
        for name in ("setup", "images"):
            if name in self._found:
                record.put(self._found[name], name)
        if self._ended is None or self._ended.why or "images" not in self._found:
            why = f"images: {self._ended.why if self._ended else 'there are none'}"
            record.put([why], "without")
            self._say(why)
            return None
        setup, images = self._found["setup"], self._found["images"]
        usual = ON_A_GPU if setup["kind"] == "cuda" else ON_A_CPU
        chosen = {name: getattr(arguments, name) or value for name, value in usual.items()}
        for name, most in (("train_images", images["train"]), ("test_images", images["test"])):
            chosen[name] = None if chosen[name] is None or chosen[name] >= most else chosen[name]
        data = "enlarged digits" if arguments.data is None else arguments.data.name
        shared = {"device": setup["device"], "torch": setup["torch"], "data": data, "precision": arguments.precision}
        record.require({**shared, **chosen})
        self._say(
            f"{setup['device']}, PyTorch {setup['torch']}; {data}: {images['train']:,} + {images['test']:,} images"
        )
        return parts.Context(
            record=record,
            clock=self._clock,
            say=self._say,
            out=out,
            work=self._work,
            device=arguments.device or setup["kind"],
            images=images["name"],
            train=chosen["train_images"],
            test=chosen["test_images"],
            epochs=chosen["epochs"],
            together=chosen["together"],
            precision=arguments.precision,
        )


def _sayer(clock: Clock) -> Any:
    def say(line: str) -> None:
        minutes, seconds = divmod(int(clock.left()), 60)
        print(f"[{minutes:2}:{seconds:02} left] {line}", flush=True)

    return say


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything")
    parser.add_argument("--data", type=Path, help="folder with train/<class>/ and test/<class>/, or a tar of one")
    parser.add_argument("--out", type=Path, default=Path("gpu-run"), help="folder of the results; the same continues")
    parser.add_argument("--work", type=Path, help="folder of weights, caches and logs; OUT/work by default")
    parser.add_argument("--wheels", type=Path, help="folder that --carry has filled")
    parser.add_argument("--parts", nargs="+", choices=list(SHARES), default=list(SHARES), help="what is run")
    parser.add_argument("--device", help="cpu, cuda or one GPU such as cuda:0; the GPU where there is one")
    parser.add_argument("--precision", choices=parts.PRECISIONS, default="fp32", help="of the figure")
    parser.add_argument("--together", type=int, metavar="K", help="networks side by side; 16, on a CPU 2")
    parser.add_argument("--train-images", type=int, metavar="N", help="all, on a CPU 128")
    parser.add_argument("--test-images", type=int, metavar="N", help="all, on a CPU 100")
    parser.add_argument("--epochs", type=int, metavar="T", help="of the figure; 150, on a CPU 2")
    parser.add_argument("--finish", action="store_true", help="only make bundle, verdicts and pictures of OUT")
    carry = parser.add_argument_group("before, on a machine with a network")
    carry.add_argument("--carry", type=Path, metavar="FOLDER", help="only collect wheels for the other machine")
    carry.add_argument("--python", default="3.12", help="of the other machine")
    carry.add_argument("--budget", type=float, default=60.0, metavar="MIB", help="for all wheels")
    carry.add_argument("--present", nargs="*", default=[], metavar="PACKAGE", help="that the other machine has")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

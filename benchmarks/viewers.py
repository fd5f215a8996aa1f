"""How soon do many viewers of one link see their first chart? python -m benchmarks.viewers."""

import asyncio
import itertools
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.table import Table
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import full_database, options, results_io
from benchmarks.results_io import spread_text
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study, parse_study
from tests.browser.serving import DASHBOARD, served

STUDY = "viewed"
# Seconds: the latest first chart of all viewers, and the owner's page meanwhile; bytes of the dashboard's process.
FIRST, OWNERS, MEMORY = 10.0, 3.0, 1_000_000_000
LONGEST = 300.0
# Seconds between two visits of the owner, and for which viewers stay once all have their chart.
PAUSE, STAY = 0.5, 5.0
COUNTS = (1, 60, 200)


def viewed_study() -> Study:
    """Return a study of two rates, five sparsities, four starts and three seeds."""
    return parse_study(
        {
            "name": "Viewed by many",
            "datasets": ["cifar10"],
            "networks": ["resnet20"],
            "learning_rates": [0.01, 0.1],
            "pruners": ["iterative"],
            "sparsities": [0.3, 0.5, 0.7, 0.8, 0.9],
            "starts": ["winning_ticket", "reinit", "rewind", "finetune"],
            "seeds": [0, 1, 2],
            "recipe": {"epochs": 30},
            "note": "Made-up numbers, to see how fast the page is.",
        }
    )


def has_chart(message: ForwardMsg) -> bool:
    """Return whether a message of the server adds a chart to the page."""
    return message.delta.new_element.WhichOneof("type") in ("vega_lite_chart", "arrow_vega_lite_chart")


async def visit(socket: ClientConnection, query: str, page: str) -> tuple[float | None, float, list[str]]:
    """Open a page; return the seconds until its first chart, None without one, and until its end, and its errors."""
    begin = time.monotonic()
    request = BackMsg()
    request.rerun_script.query_string = query
    request.rerun_script.page_name = page
    await socket.send(request.SerializeToString())
    chart, errors = None, []
    async with asyncio.timeout(LONGEST):
        while True:
            message = ForwardMsg.FromString(bytes(await socket.recv(decode=False)))
            if message.delta.new_element.WhichOneof("type") == "exception":
                errors.append(message.delta.new_element.exception.message)
            if chart is None and has_chart(message):
                chart = time.monotonic() - begin
            if message.WhichOneof("type") == "script_finished":
                return chart, time.monotonic() - begin, errors


def opened(address: str) -> connect:
    """Return the WebSocket of a page, as a browser opens it."""
    host = address.removeprefix("http://")
    stream = f"ws://{host}/_stcore/stream"
    return connect(stream, origin=address, subprotocols=["streamlit"], max_size=None, open_timeout=LONGEST)  # type: ignore[arg-type]


async def owner(address: str, over: asyncio.Event) -> list[float]:
    """Open a study's page as the owner again and again, and return the seconds until each was whole."""
    seconds = []
    while not over.is_set():
        begin = time.monotonic()
        async with opened(address) as socket:
            _, _, errors = await visit(socket, f"study={STUDY}", "study")
            assert not errors, errors
        seconds.append(time.monotonic() - begin)
        await asyncio.sleep(PAUSE)
    return seconds


async def crowd(address: str, token: str, count: int) -> tuple[list[float], list[str], list[float]]:
    """Open a link as many viewers at once; return the seconds to their first charts, errors, and the owner's times."""
    over, charted = asyncio.Event(), asyncio.Semaphore(0)
    # Whoever shares a study has looked at it.
    async with opened(address) as socket:
        await visit(socket, f"study={STUDY}", "study")

    async def viewer() -> tuple[float | None, list[str]]:
        begin = time.monotonic()
        try:
            async with opened(address) as socket:
                chart, whole, errors = await visit(socket, f"share={token}", "shared")
                seconds = None if chart is None else time.monotonic() - begin - whole + chart
                charted.release()
                # The page stays open and refreshes itself, as in a browser.
                await over.wait()
                return seconds, errors
        except (OSError, TimeoutError) as error:
            charted.release()
            return None, [f"{type(error).__name__}: {error}"]

    visits = asyncio.create_task(owner(address, over))
    viewers = [asyncio.create_task(viewer()) for _ in range(count)]
    for _ in range(count):
        await charted.acquire()
    await asyncio.sleep(STAY)
    over.set()
    answers = await asyncio.gather(*viewers)
    charts = [seconds for seconds, _ in answers if seconds is not None]
    return charts, list(itertools.chain.from_iterable(errors for _, errors in answers)), await visits


class Watch:
    """Watches the process of a dashboard in a thread: its largest memory in bytes, and most open files."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self.memory = self.files = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            self.memory = max(self.memory, self._process.memory_info().rss)
            self.files = max(self.files, self._process.num_fds())

    def stop(self) -> None:
        """Stop watching."""
        self._over.set()
        self._thread.join()


def measure(home: Path, count: int) -> dict[str, object]:
    """Return how a new dashboard serves many viewers of one link at once."""
    _, token = shared_links.create(Database(home / "ticketscope.duckdb"), [STUDY])
    with served(*DASHBOARD, home=home) as address:
        port = int(address.rpartition(":")[2])
        [process] = [
            child
            for child in psutil.Process().children()
            if any(
                connection.laddr.port == port for connection in child.net_connections() if connection.status == "LISTEN"
            )
        ]
        watch, cpu = Watch(process), process.cpu_times()
        charts, errors, visits = asyncio.run(crowd(address, token, count))
        after = process.cpu_times()
        watch.stop()
    return {
        "viewers": count,
        "charts": len(charts),
        "first_chart": results_io.spread(charts or [float("nan")]),
        "owner": results_io.spread(visits),
        "cpu_seconds": after.user + after.system - cpu.user - cpu.system,
        "memory": watch.memory,
        "files": watch.files,
        "errors": errors[:3],
    }


def fill(home: Path) -> None:
    """Record the viewed study with made-up results."""
    home.mkdir(parents=True)
    database = Database(home / "ticketscope.duckdb")
    database.ensure()
    for _ in full_database.write(database, {STUDY: viewed_study()}, running=()):
        pass


def show(rows: Sequence[dict[str, object]]) -> Table:
    """Return the measurements as a table."""
    return results_io.table(
        "viewers of one link, opened at once (seconds: median, least and most)",
        [
            {
                "viewers": row["viewers"],
                "see a chart": row["charts"],
                f"first chart, s (goal {FIRST:g})": spread_text(row["first_chart"]),  # type: ignore[arg-type]
                f"owner's page, s (goal {OWNERS:g})": spread_text(row["owner"]),  # type: ignore[arg-type]
                "CPU, s": f"{row['cpu_seconds']:.1f}",
                "memory, MB": f"{int(str(row['memory'])) / 1e6:.0f}",
                "open files": row["files"],
                "errors": len(row["errors"]),  # type: ignore[arg-type]
            }
            for row in rows
        ],
    )


def main(arguments: Namespace) -> int:
    """Measure, print a table, and return 0 if all goals are reached."""
    with tempfile.TemporaryDirectory(prefix="viewers-") as folder:
        home = Path(folder) / "home"
        fill(home)
        rows = [measure(home, count) for count in arguments.viewers]
    results_io.show(show(rows))
    for row in rows:
        for error in row["errors"]:  # type: ignore[attr-defined]
            results_io.show(f"{row['viewers']} viewers: {error}")
    results_io.write("viewers", arguments, {"rows": rows})
    reached = all(
        row["charts"] == row["viewers"]
        and row["first_chart"]["most"] <= FIRST  # type: ignore[index]
        and row["owner"]["most"] <= OWNERS  # type: ignore[index]
        and int(str(row["memory"])) <= MEMORY
        for row in rows
    )
    return 0 if reached else 1


if __name__ == "__main__":
    parser = options.parser("viewers", __doc__)
    parser.add_argument(
        "--viewers", type=int, nargs="+", default=list(COUNTS), help="viewers at once, one run for each"
    )
    sys.exit(main(parser.parse_args()))

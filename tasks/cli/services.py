"""The commands that run until they are stopped: up, worker, recorder."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

import signal
import threading
from typing import Annotated

import typer

from tasks.cli.console import Device, begin, out, served, warn
from tasks.units import plural

commands = typer.Typer()

Lease = Annotated[float, typer.Option(min=0.5, help="Seconds after which a silent worker loses its stage.")]


@commands.command()
def up(
    host: Annotated[str, typer.Option(help="Address that the dashboard listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the dashboard listens on.")] = 8501,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes [TICKETSCOPE_WORKERS].")] = None,
    device: Device = None,
) -> None:
    """Run everything on this machine: Redis, recorder, workers and the dashboard. Ctrl-C stops them all."""
    from tasks.services.up import up as run_all
    from tasks.worker.devices import devices

    config = begin()
    _warn_of_unusable_gpu()
    run_all(config, host, port, devices(device or config.device, workers or config.workers), out)


@commands.command()
def worker(
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per GPU, or per core [TICKETSCOPE_WORKERS].")
    ] = None,
    device: Device = None,
    lease: Lease = 20.0,
) -> None:
    """Train stages from the queue until a signal: the first stops after the epoch, the second at once."""
    from tasks.services.presence import announced
    from tasks.services.supervisor import Supervisor
    from tasks.services.up import DRAIN_SECONDS, end_dead_workers, worker_services
    from tasks.worker.devices import devices

    config = begin()
    names = devices(device or config.device, processes or config.workers)
    _warn_of_unusable_gpu()
    with served(config) as redis, announced(config, "ticketscope worker"):
        end_dead_workers(redis)
        on = ", ".join(sorted(set(names)))
        out.print(f"{plural(len(names), 'worker')} on {on}; Ctrl-C stops them after the epoch, a second one at once")
        Supervisor([worker_services(config, names, lease, DRAIN_SECONDS)]).run()


@commands.command()
def recorder(
    reap: Annotated[float, typer.Option(min=0.1, help="Seconds between searches for workers that died.")] = 2.0,
    stale: Annotated[float, typer.Option(min=0.1, help="Seconds after which a lost message is sent again.")] = 5.0,
) -> None:
    """Write what the workers publish into DuckDB, and give the stages of dead workers to others."""
    from tasks.queue.timing import Timing
    from tasks.services.presence import announced
    from tasks.services.recorder import record

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    config = begin()
    with served(config), announced(config, "ticketscope recorder"):
        record(config, Timing(reap=reap, stale=stale), stopping)


def _warn_of_unusable_gpu() -> None:
    from tasks.worker.devices import unusable_gpu

    if warning := unusable_gpu():
        warn(warning)

"""The commands that run until they are stopped: up, worker, recorder; and notify, which tries notices."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from data.settings import Settings
from tasks.cli.console import Device, begin, out, served, warn
from tasks.units import plural

commands = typer.Typer()

TEST_MESSAGE = (
    "Ticketscope notifies you here",
    "This is a test. You will get a notice when a study is done, has ended with failed stages, or is stuck.",
)
# Seconds that the recorder waits at its end for a message that is on its way.
LAST_MESSAGE = 1.5

Test = Annotated[bool, typer.Option("--test", help="Send each service a message; exit 1 if one is not reached.")]
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
    _warn_of_notices(config)
    run_all(config, host, port, devices(device or config.device, workers or config.workers), out)


@commands.command()
def worker(
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one per GPU, or per core [TICKETSCOPE_WORKERS].")
    ] = None,
    device: Device = None,
    lease: Lease = 20.0,
    until_idle: Annotated[
        float | None,
        typer.Option(min=1.0, metavar="SECONDS", help="End once there was nothing to train for so long."),
    ] = None,
) -> None:
    """Train stages from the queue until a signal: the first stops after the epoch, the second at once."""
    from tasks.broker.connection import client
    from tasks.services.idle import Idle
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
        text = f"{plural(len(names), 'worker')} on {on}; Ctrl-C stops them after the epoch, a second one at once"
        out.print(text, soft_wrap=True, highlight=False)
        supervisor = Supervisor([worker_services(config, names, lease, DRAIN_SECONDS)])
        # The services are supervised meanwhile, so this client does not wait for a Redis that is gone.
        idle = None if until_idle is None else Idle(client(config, 0.0), until_idle, supervisor.pids)
        supervisor.run(idle)
        if idle is not None and idle.over:
            out.print(f"ended: nothing to train for {until_idle:g} s", soft_wrap=True, highlight=False)


@commands.command()
def recorder(
    reap: Annotated[float, typer.Option(min=0.1, help="Seconds between searches for workers that died.")] = 2.0,
    stale: Annotated[float, typer.Option(min=0.1, help="Seconds after which a lost message is sent again.")] = 5.0,
) -> None:
    """Write what the workers publish into DuckDB, and give the stages of dead workers to others."""
    from tasks.queue.timing import Timing
    from tasks.services.presence import announced
    from tasks.services.recorder import record
    from tasks.studies.delete import keep_emptying

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    config = begin()
    _warn_of_notices(config)
    with served(config), announced(config, "ticketscope recorder"):
        threading.Thread(target=keep_emptying, args=(config, stopping), name="trash", daemon=True).start()
        with _notifying(config, stopping):
            record(config, Timing(reap=reap, stale=stale), stopping)


@commands.command()
def notify(test: Test = False) -> None:
    """List the services of TICKETSCOPE_NOTIFY, without their secrets, or send them a message."""
    from tasks.notices.deliver import NotifyError, deliver, services

    config = begin()
    if config.notify is None:
        raise NotifyError("TICKETSCOPE_NOTIFY is not set, so nobody is notified; give addresses of apprise")
    found = deliver(config.notify, *TEST_MESSAGE) if test else services(config.notify)
    for service in found:
        state = service.error or ("reached" if test else "not asked; --test sends a message")
        out.print(f"service {service}: {state}", soft_wrap=True, highlight=False, markup=False)
    if any(service.error for service in found):
        raise typer.Exit(1)


@contextmanager
def _notifying(config: Settings, stopping: threading.Event) -> Iterator[None]:
    """Send notices about studies within the block, if the settings name receivers."""
    from tasks.notices.deliver import is_installed
    from tasks.notices.notifier import keep_notifying

    if config.notify is None or not is_installed():
        yield
        return
    thread = threading.Thread(target=keep_notifying, args=(config, stopping), name="notices", daemon=True)
    thread.start()
    yield
    # A message that is on its way is noted as sent, unless that takes long.
    thread.join(timeout=LAST_MESSAGE)


def _warn_of_notices(config: Settings) -> None:
    """Warn of notices that nobody will get; a service's address is checked by the command notify."""
    from tasks.notices.deliver import MISSING, is_installed

    if config.notify is not None and not is_installed():
        warn(MISSING)


def _warn_of_unusable_gpu() -> None:
    from tasks.worker.devices import unusable_gpu

    if warning := unusable_gpu():
        warn(warning)

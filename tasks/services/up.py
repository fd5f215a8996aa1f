"""Running everything on one machine: Redis, the recorder, the workers and the dashboard."""

import errno
import logging
import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

from filelock import FileLock, Timeout
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console

from data import processes
from data.os_errors import explained
from data.private import private_folder
from data.settings import Settings
from engine.errors import UserError
from engine.training.capacity import QUEUES
from tasks.broker import connection, server
from tasks.process import ROOT, python, spawn
from tasks.queue import leases, telemetry
from tasks.queue.timing import Timing
from tasks.services.presence import announced, place
from tasks.services.supervisor import Service, Supervisor
from tasks.worker import host as this_host
from tasks.worker.devices import threads

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CHECK_SECONDS = 1.0
# Seconds that a worker gets to finish its epoch after Ctrl-C; an epoch that takes longer is trained again.
STOP_SECONDS = 3.5
# The same for workers without a dashboard: they are stopped to be moved or updated, and nobody waits at a keyboard.
DRAIN_SECONDS = 110.0

# A proxy that the environment names does not reach this machine's own services.
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

log = logging.getLogger(__name__)


class UpError(UserError):
    """The services cannot be started as requested, and none was started."""


def up(config: Settings, host: str, port: int, devices: Sequence[str], console: Console) -> None:
    """Run all services until SIGINT or SIGTERM; raises UpError or BrokerError before anything is started."""
    _check_host(config, host)
    private_folder(config.home)
    try:
        # The lock comes before the check of the port, since a second start on this home would find the port in use too.
        with FileLock(config.home / "up.lock", timeout=0):
            _check_port(host, port)
            config.dashboard_address.unlink(missing_ok=True)
            with server.serving(config, tied=True) as redis, announced(config, "ticketscope up"):
                end_dead_workers(redis)
                _Machine(config, host, port, devices, console).run()
    except Timeout:
        address = _with_token(config)
        raise UpError(
            f"Ticketscope is up on {config.home} already{f', at {address}' if address else ''}; "
            "stop that one, or set TICKETSCOPE_HOME to another folder"
        ) from None


def worker_services(
    config: Settings, devices: Sequence[str], lease: float, grace: float, logs: Path | None = None
) -> list[Service]:
    """Return the worker processes to keep alive, one for each device.

    grace: seconds that a worker gets to finish its epoch when it is stopped; one that takes longer is killed, and its
    stage resumes from the last checkpoint.
    """

    def died(pid: int) -> None:
        name = this_host.worker_name(pid)
        try:
            _end(connection.client(config), name)
        except RedisError as error:
            log.warning("cannot end the lease of %s, which expires by itself: %s", name, error)

    count = str(threads(config.threads, len(devices)))
    return [
        Service(
            name=f"worker {number}",
            command=python("-m", "tasks.worker", "--device", device, "--lease", str(lease)),
            log=logs / f"worker-{number}.log" if logs else None,
            grace=grace,
            environment={**_queues(), **_environment(config), "OMP_NUM_THREADS": count, "TICKETSCOPE_THREADS": count},
            died=died,
        )
        for number, device in enumerate(devices, start=1)
    ]


def _queues() -> dict[str, str]:
    """Return the setting of CUDA's queues, unless the user has set it."""
    return {name: value for name, value in QUEUES.items() if name not in os.environ}


def end_dead_workers(redis: Redis) -> list[str]:
    """End the leases of workers of this host that died while no supervisor ran, and return their names."""
    ended = []
    for worker in telemetry.known_workers(redis):
        if this_host.is_here(worker.name):
            if processes.runs(worker.pid, worker.born):
                continue
            _end(redis, worker.name)
        elif worker.is_silent() and worker.host == socket.gethostname() and worker.boot != this_host.boot():
            # It ran before this machine restarted, or on another machine of this name; its leases expire by themselves.
            telemetry.leave(redis, worker.name)
        else:
            continue
        ended.append(worker.name)
    if ended:
        log.info("workers that had died: %s", ", ".join(ended))
    return ended


def _end(redis: Redis, name: str) -> None:
    # The worker is known to be dead, so its stages need not wait until the leases expire.
    leases.expire(redis, name)
    telemetry.leave(redis, name)


class _Machine:
    """The services of one machine, and the checks made while they run."""

    def __init__(self, config: Settings, host: str, port: int, devices: Sequence[str], console: Console) -> None:
        self._config = config
        self._devices = devices
        self._console = console
        self._logs = config.home / "logs"
        literal = f"[{host}]" if ":" in host else host
        self._url = f"http://{'localhost' if host in LOOPBACK else literal}:{port}"
        self._health = f"http://{'127.0.0.1' if host in ('0.0.0.0', 'localhost') else literal}:{port}/_stcore/health"
        self._dashboard = python(
            *("-m", "streamlit", "run", str(ROOT / "app" / "serve.py")),
            *("--server.address", host, "--server.port", str(port), "--server.headless", "true"),
            *("--browser.gatherUsageStats", "false"),
        )
        self._answered = False
        self._printed: str | None = None
        self._checked_at = 0.0
        # Processes that run once beside the services, each with the warning that is logged if it fails.
        self._once: dict[str, tuple[subprocess.Popen[bytes], str]] = {}

    def run(self) -> None:
        where = place(self._config)
        self._console.print(f"redis      {where.queue}")
        self._console.print(f"workers    {len(self._devices)} on {', '.join(sorted(set(self._devices)))}")
        self._console.print(f"data       {self._config.home}  (logs in {self._logs})")
        self._console.print(f"artifacts  {where.artifacts}", soft_wrap=True, highlight=False)
        if self._config.config:
            self._console.print(f"settings   {self._config.config}", soft_wrap=True, highlight=False)
        command = Path(sys.executable).with_name("ticketscope")
        if command.exists():
            self._console.print(f"command    {command}", soft_wrap=True, highlight=False)
        environment = _environment(self._config)
        dashboard = Service("dashboard", self._dashboard, self._logs / "dashboard.log", environment=environment)
        recorder = Service(
            "recorder", python("-m", "tasks", "recorder"), self._logs / "recorder.log", 2.0, environment=environment
        )
        workers = worker_services(self._config, self._devices, Timing.lease, STOP_SECONDS, self._logs)
        # The command does nothing if a study was launched before.
        demo = python("-m", "tasks", "launch", "demo", "--if-empty")
        self._begin("demo", demo, environment, "the demo study could not be queued")
        if self._config.database.exists():
            # The command completes results that an older version recorded, and ends at once if there are none.
            remeasure = python("-m", "tasks", "remeasure", "--at-start")
            slowly = {**environment, "OMP_NUM_THREADS": "1"}
            self._begin("remeasure", remeasure, slowly, "older results could not be completed")
        # The recorder stops last, to record the stages that the workers hand back.
        Supervisor([[dashboard, *workers], [recorder]]).run(self._tick)
        self._console.print("stopped")

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = now
        try:
            server.ensure(self._config, tied=True)
        except (connection.BrokerError, RedisError) as error:
            log.error("%s", error)
        except OSError as error:
            log.error("%s", explained(error))
        for name, (process, failure) in list(self._once.items()):
            if process.poll() is not None:
                if process.returncode:
                    log.warning("%s; see %s", failure, self._logs / f"{name}.log")
                del self._once[name]
        if not self._answered and self._healthy():
            self._answered = True
            self._console.print(f"dashboard  [bold]{self._url}[/bold]  (Ctrl-C stops everything)")
        # A dashboard that had to be started again has a new token.
        if self._answered and (address := _with_token(self._config)) not in (None, self._printed):
            self._printed = address
            hint = "(where that stays locked; whoever has it is an owner)"
            self._console.print(f"with token {address}  {hint}", soft_wrap=True, highlight=False)

    def _begin(self, name: str, command: Sequence[str], environment: Mapping[str, str], failure: str) -> None:
        self._once[name] = (spawn(command, self._logs / f"{name}.log", extra=environment), failure)

    def _healthy(self) -> bool:
        try:
            with _WITHOUT_PROXY.open(self._health, timeout=0.5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def _with_token(config: Settings) -> str | None:
    """Return the address that opens the dashboard to whoever knows it; None before it is up and if it has a login."""
    try:
        return config.dashboard_address.read_text(encoding="utf-8")
    except OSError:
        return None


def _environment(config: Settings) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A process that is started again later must find the same settings.
    file = str(config.config or os.devnull)
    return {
        "TICKETSCOPE_CONFIG": file,
        "TICKETSCOPE_HOME": str(config.home),
        "TICKETSCOPE_PLUGINS": config.plugins,
        "PYTHONPATH": path,
    }


def _check_host(config: Settings, host: str) -> None:
    if host not in LOOPBACK and not (config.password or config.password_hash or _has_oidc()):
        raise UpError(
            f"--host {host} would show the dashboard to the network without a password or a login; "
            "set TICKETSCOPE_PASSWORD or TICKETSCOPE_PASSWORD_HASH, name an OIDC provider under [auth] in "
            ".streamlit/secrets.toml, or leave --host at 127.0.0.1"
        )


def _has_oidc() -> bool:
    """Return whether Streamlit's secrets name an OIDC provider, in the files that the dashboard reads."""
    listed = os.environ.get("STREAMLIT_SECRETS_FILES", "").split()
    folders = (Path.home(), ROOT)
    paths = [Path(path) for path in listed] or [folder / ".streamlit" / "secrets.toml" for folder in folders]
    return any(_names_provider(path) for path in paths if path.is_file())


def _names_provider(secrets: Path) -> bool:
    try:
        return "auth" in tomllib.loads(secrets.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _check_port(host: str, port: int) -> None:
    # A browser takes localhost for either address of this machine, and would show what another program has there.
    others = ("127.0.0.1", "::1") if host in (*LOOPBACK, "0.0.0.0", "::") else ()
    for address in dict.fromkeys((host, *others)):
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
        except OSError as error:
            if address != host and error.errno != errno.EADDRINUSE:
                # This machine has no such address.
                continue
            raise UpError(
                f"port {port} on {address} cannot be used ({error.strerror or error}); give another, such as "
                f"--port {port + 1}"
            ) from error

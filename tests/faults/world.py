"""A real Ticketscope of two commands, which are started again after they were killed, and a small disk."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import RedisError

from data.database.database import Database
from data.settings import Settings
from tasks.broker import connection
from tasks.process import python, spawn
from tasks.queue import scripts, telemetry
from tests.machine import free_port, healthy

# The lease of the separate worker in seconds; the worker of `up` has the usual one.
SHORT_LEASE = 4.0


class World:
    """`up` with one worker, a separate worker command (the crew), and their Redis."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.database = Database(config.database)
        self.redis: Redis = connection.client(config, patience=30.0)
        self.logs = config.home / "logs"
        self.port = free_port()
        self.up = self._start_up()
        self.crew = self._start_crew()

    def _start_up(self) -> "subprocess.Popen[bytes]":
        command = python("-m", "tasks", "up", "--port", str(self.port), "--workers", "1")
        return spawn(command, self.logs / "up.log")

    def _start_crew(self) -> "subprocess.Popen[bytes]":
        command = python("-m", "tasks", "worker", "--processes", "1", "--device", "cpu", "--lease", str(SHORT_LEASE))
        return spawn(command, self.logs / "crew.log")

    def tend(self) -> None:
        """Start each of the two commands again if it has ended, as an init system does."""
        if self.up.poll() is not None:
            self.up = self._start_up()
        if self.crew.poll() is not None:
            self.crew = self._start_crew()

    def stop(self) -> None:
        """Stop both commands."""
        for process in (self.crew, self.up):
            process.terminate()
        for process in (self.crew, self.up):
            try:
                process.wait(timeout=90.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.close()

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes below `up` and the crew whose command lines contain all of the words."""
        matching = []
        for parent in (self.up, self.crew):
            try:
                children = psutil.Process(parent.pid).children(recursive=True)
            except psutil.NoSuchProcess:
                continue
            for child in children:
                try:
                    line = " ".join(child.cmdline())
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue
                if all(word in line for word in words):
                    matching.append(child)
        return matching

    def redis_pid(self) -> int:
        """Return the process id of Redis, which either command may have started."""
        return int(self.redis.info("server")["process_id"])

    def running(self) -> dict[str, tuple[int, str, int]]:
        """Return the attempt, worker and process id of every running stage, by fingerprint."""
        running = {}
        for fingerprint in self.redis.zrange(f"{scripts.PREFIX}leases", 0, -1):
            fields = self.redis.hmget(f"{scripts.PREFIX}stage:{fingerprint}", ["attempt", "worker", "state"])
            attempt, worker, state = fields
            if state == "running" and attempt and worker:
                running[str(fingerprint)] = (int(attempt), str(worker), int(str(worker).rpartition(":")[2]))
        return running

    def attempt(self, fingerprint: str) -> tuple[int, str]:
        """Return a stage's attempt and state."""
        attempt, state = self.redis.hmget(f"{scripts.PREFIX}stage:{fingerprint}", ["attempt", "state"])
        return int(attempt or 0), str(state)

    def progressed(self, since: float) -> bool:
        """Return whether any worker has trained an epoch after a moment, in seconds since 1970."""
        try:
            return any(live.updated > since for live in telemetry.progress(redis=self.redis).values())
        except (RedisError, connection.BrokerError):
            return False

    def healthy(self) -> bool:
        """Return whether the dashboard answers."""
        return healthy(self.port)

    def wait(self, condition: Callable[[], object], seconds: float = 120.0) -> float:
        """Wait for a condition, tend meanwhile, and return the seconds waited; AssertionError after too many."""
        begin = time.monotonic()
        while True:
            self.tend()
            try:
                if condition():
                    return time.monotonic() - begin
            except (RedisError, connection.BrokerError):
                pass
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"no such state after {seconds:g} s; logs in {self.logs}")
            time.sleep(0.05)


class SmallDisk:
    """A disk of a few megabytes at a folder; if it cannot be mounted, `mounted` is False and `reason` says why."""

    def __init__(self, folder: Path, megabytes: int, read_only: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m{',ro' * read_only}", "tmpfs"]
        mount = shutil.which("mount")
        done = subprocess.run([mount, *options, folder], capture_output=True, check=False) if mount else None
        self.mounted = done is not None and done.returncode == 0
        self.reason = "" if self.mounted else (done.stderr.decode().strip() if done else "there is no mount command")

    def fill(self) -> Path:
        """Fill the disk, and return the file that does."""
        ballast = self.folder / "ballast"
        # A buffered file would write the refused bytes again when it closes, and fail.
        with ballast.open("wb", buffering=0) as file:
            while blocks := os.statvfs(self.folder).f_bavail:
                try:
                    file.write(bytes(blocks * os.statvfs(self.folder).f_frsize))
                except OSError:
                    break
        return ballast

    def unmount(self) -> None:
        """Unmount the disk; its files are lost."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.folder], check=True)

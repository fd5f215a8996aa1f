"""Hosts on one machine: network namespaces on a bridge, each with a disk of which only its own folder is writable."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.process import ROOT, python, spawn

# In a mount namespace of its own: the shared folder is hidden but for this host's home, and the rest is read-only.
ALONE = """
set -e
mount --make-rprivate /
echo "$NAME" > /proc/sys/kernel/hostname
mount --bind "$OWN" /mnt
mount -t tmpfs tmpfs "$SHARED"
mkdir -p "$OWN"
mount --bind /mnt "$OWN"
umount /mnt
mount -o remount,ro "$SHARED"
mount -o remount,bind,ro /
exec "$@"
"""


class Host:
    """A host that reaches this machine by a bridge and shares nothing with it on disk but its own home."""

    def __init__(self, name: str, number: int, network: "Network", shared: Path) -> None:
        self.name = name
        self.home = shared / name
        (self.home / "tmp").mkdir(parents=True)
        self._shared = shared
        self.address = f"{network.prefix}.{number + 1}"
        self._bridge = network.bridge
        self._space = f"{network.bridge}-{name}"
        self._plug = f"{network.bridge}v{number}"
        _run("ip", "netns", "add", self._space)
        network.spaces.append(self._space)
        _run("ip", "link", "add", self._plug, "type", "veth", "peer", "name", "eth0", "netns", self._space)
        _run("ip", "link", "set", self._plug, "master", self._bridge, "up")
        for command in (
            ("addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", self._space, *command)

    def start(self, environment: Mapping[str, str], *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command of Python's there, with nothing of this process's environment."""
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "PYTHONPATH": str(ROOT),
            "TICKETSCOPE_HOME": str(self.home),
            **environment,
        }
        inside = {**given, "NAME": self.name, "OWN": str(self.home), "SHARED": str(self._shared)}
        pairs = [f"{name}={value}" for name, value in inside.items()]
        alone = ["unshare", "--mount", "--uts", "env", "-i", *pairs, "sh", "-c", ALONE, "sh"]
        return spawn(["ip", "netns", "exec", self._space, *alone, *python(*arguments)], self.log)

    @property
    def log(self) -> Path:
        """What its processes have said."""
        return self.home.with_suffix(".log")

    def said(self, text: str) -> int:
        """Return how often its processes have said something."""
        return self.log.read_text().count(text) if self.log.exists() else 0

    def cut_off(self) -> None:
        """Swallow every packet, and tell neither side."""
        _run("ip", "link", "set", self._plug, "nomaster")

    def come_back(self) -> None:
        """Let packets pass again."""
        _run("ip", "link", "set", self._plug, "master", self._bridge)


class Network:
    """A bridge with an address of this machine."""

    def __init__(self) -> None:
        # Names of interfaces have 15 characters; the range is the one set aside for trying out networks.
        self.bridge = f"ts{os.getpid() % 100_000}"
        self.prefix = f"198.18.{os.getpid() % 250}"
        self.address = f"{self.prefix}.1"
        self.spaces: list[str] = []
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        try:
            _run("ip", "addr", "add", f"{self.address}/24", "dev", self.bridge)
            _run("ip", "link", "set", self.bridge, "up")
        except subprocess.CalledProcessError:
            self.close()
            raise

    def close(self) -> None:
        """Take everything away; a host's end of a cable goes with its namespace."""
        for space in self.spaces:
            _run("ip", "netns", "del", space)
        _run("ip", "link", "del", self.bridge)


def reason_for_none() -> str | None:
    """Return why hosts cannot be had here, None where they can."""
    missing = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} here (iproute2, util-linux)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with network():
            tried = subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True, text=True, check=False)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return tried.stderr.strip() or None


@contextmanager
def network() -> Iterator[Network]:
    """Have a network within the block."""
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)

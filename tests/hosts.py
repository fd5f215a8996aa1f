"""Several hosts on one machine, as network namespaces on a bridge that can each write only their own folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.process import ROOT, python, spawn

# Runs in a mount namespace that hides the homes of other hosts and makes everything but this host's home read-only.
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
    """A host that reaches this machine over a bridge and can write only its own home."""

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
        """Start a Python command on the host, without the environment of this process."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "PYTHONPATH": str(ROOT),
            "TICKETSCOPE_HOME": str(self.home),
            **environment,
        }
        all_variables = {**variables, "NAME": self.name, "OWN": str(self.home), "SHARED": str(self._shared)}
        pairs = [f"{name}={value}" for name, value in all_variables.items()]
        alone = ["unshare", "--mount", "--uts", "env", "-i", *pairs, "sh", "-c", ALONE, "sh"]
        return spawn(["ip", "netns", "exec", self._space, *alone, *python(*arguments)], self.log)

    @property
    def log(self) -> Path:
        """The file with the output of the host's processes."""
        return self.home.with_suffix(".log")

    def said(self, text: str) -> int:
        """Return how often a text occurs in the output of the host's processes."""
        return self.log.read_text().count(text) if self.log.exists() else 0

    def cut_off(self) -> None:
        """Drop every packet without closing a connection."""
        _run("ip", "link", "set", self._plug, "nomaster")

    def come_back(self) -> None:
        """Let packets pass again."""
        _run("ip", "link", "set", self._plug, "master", self._bridge)


class Network:
    """A bridge with an address of this machine."""

    def __init__(self) -> None:
        # Interface names have at most 15 characters; the address range is reserved for network tests.
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
        """Remove the bridge and the namespaces of its hosts."""
        for space in self.spaces:
            _run("ip", "netns", "del", space)
        _run("ip", "link", "del", self.bridge)


def reason_for_none() -> str | None:
    """Return why this machine cannot have such hosts, None where it can."""
    missing = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} here (iproute2, util-linux)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with network():
            probe = subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True, text=True, check=False)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return probe.stderr.strip() or None


@contextmanager
def network() -> Iterator[Network]:
    """Provide a network for the block."""
    bridge = Network()
    try:
        yield bridge
    finally:
        bridge.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)

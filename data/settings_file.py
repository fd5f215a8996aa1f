"""The file that settings may be in, which services and commands of a machine share."""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from data.os_errors import explained
from engine.study.fields import nearest
from engine.study.toml_limits import BYTES, decoded

VARIABLE = "TICKETSCOPE_CONFIG"
NAME = "ticketscope.toml"
CHECKOUT = Path(__file__).resolve().parents[1]
SYSTEM = Path("/etc/ticketscope")
# The table of variables for the libraries that Ticketscope uses, such as those of an S3 store.
ENVIRONMENT = "environment"

FORM = f"the path of a settings file in TOML, or {os.devnull} for none"

# The addresses of services that are notified contain tokens.
_SECRET = re.compile("password|secret|token|access_key|notify", re.IGNORECASE)
_URL = re.compile(r"[\w+.-]+:")


@dataclass(frozen=True)
class SettingsFile:
    """A settings file: its path, None if there is none, and what it holds.

    values: by key, as texts. environment: variables for libraries. faults: a sentence for each thing that is wrong.
    lines: the number of the line that each key begins in.
    """

    path: Path | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Return the file and the line of a key, and the key."""
        line = f", line {self.lines[key]}" if key in self.lines else ""
        return f"{self.path}{line}: {key}"


def places() -> list[Path]:
    """Return where a settings file is looked for if TICKETSCOPE_CONFIG names none; the first that exists is read.

    The current folder is none of them: a downloaded folder could bring a file that sends studies elsewhere.
    """
    checkout = [CHECKOUT] if (CHECKOUT / "install.py").exists() else []
    return [folder / NAME for folder in (*checkout, platformdirs.user_config_path("ticketscope"), SYSTEM)]


def read(keys: Mapping[str, str]) -> SettingsFile:
    """Return the settings file in use; keys: what each key may hold, in words."""
    named = os.environ.get(VARIABLE)
    if not named:
        path = next((path for path in places() if os.access(path, os.R_OK)), None)
        return SettingsFile() if path is None else _read(path, keys)
    path = Path(named).expanduser().resolve()
    if path == Path(os.devnull):
        return SettingsFile(path)
    return _read(path, keys)


def _read(path: Path, keys: Mapping[str, str]) -> SettingsFile:
    try:
        # Reading a pipe or a device might never end.
        if not path.is_file():
            wrong = "is no file" if path.exists() else "does not exist"
            return SettingsFile(path, faults=(f"{VARIABLE} {str(path)!r}: {wrong}; give {FORM}",))
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = decoded(file.read(BYTES + 1))
        content = tomllib.loads(text)
    except OSError as error:
        return SettingsFile(path, faults=(explained(error, path),))
    except (ValueError, RecursionError) as error:
        return SettingsFile(path, faults=(f"{path} is not valid TOML: {error}",))
    table = content.pop(ENVIRONMENT, {})
    environment = table if isinstance(table, dict) else {}
    lines = {
        match[1]: text.count("\n", 0, match.start(1)) + 1
        for match in reversed(list(re.finditer(r"""^[ \t]*\[?["']?([\w-]+)""", text, re.MULTILINE)))
    }
    made = SettingsFile(path, lines=lines)
    faults = [
        *_open_to_others(path, mode, content, environment),
        *_faults(made, content, keys),
        *_environment_faults(made, table),
    ]
    values = {
        key: _from_here(path.parent, key, str(value))
        for key, value in content.items()
        if key in keys and value != "" and _is_simple(value)
    }
    variables = {name: str(value) for name, value in environment.items()} if not faults else {}
    return SettingsFile(path, values, variables, tuple(faults), lines)


def _is_simple(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def is_path(name: str) -> bool:
    """Return whether the name of a plugin is a path, not the import name of a module."""
    return name.endswith(".py") or "/" in name or name.startswith(("~", "."))


def plugin_names(text: str, folder: Path) -> tuple[str, ...]:
    """Return the names in a list of plugins, each once, with absolute paths; a relative one is meant from a folder."""
    names = [name.strip() for part in text.split(",") for name in part.split(os.pathsep)]
    found = (str(folder / Path(name).expanduser()) if is_path(name) else name for name in names if name)
    return tuple(dict.fromkeys(os.path.normpath(name) if is_path(name) else name for name in found))


def _from_here(folder: Path, key: str, value: str) -> str:
    """Return a value with absolute paths; one that is relative is meant from the file's folder."""
    if key == "plugins":
        return ",".join(plugin_names(value, folder))
    if key not in ("home", "artifacts") or _URL.match(value):
        return value
    return str(folder / Path(value).expanduser())


def _faults(file: SettingsFile, content: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[str]:
    for key, value in content.items():
        if key not in keys:
            # People copy the names of variables.
            plain = key.lower().removeprefix("ticketscope_")
            yield f"{file.place(key)} is no setting; {nearest(plain, keys)}: {', '.join([*keys, f'[{ENVIRONMENT}]'])}"
        elif not _is_simple(value):
            yield f"{file.place(key)} is neither a text nor a whole number; give {keys[key]}"


def _environment_faults(file: SettingsFile, table: Any) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{file.place(ENVIRONMENT)} is no table; write [{ENVIRONMENT}], and the variables below it"
        return
    for name, value in table.items():
        if name == "REDIS_URL" or name.startswith("TICKETSCOPE_"):
            plain = name.lower().removeprefix("ticketscope_")
            yield f"{file.place(name)} is a setting; write it above all tables, as {plain}"
        elif not _is_simple(value) or "\0" in f"{name}{value}" or "=" in name:
            yield f'{file.place(name)} is no variable; give a text, such as AWS_DEFAULT_REGION = "us-east-1"'


def _open_to_others(path: Path, mode: int, content: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a file that other accounts may write, or read if it holds a secret."""
    redis = str(content.get("redis_url", ""))
    secret = any(map(_SECRET.search, (*content, *environment, redis)))
    with suppress(ValueError):
        secret = secret or urlsplit(redis).password is not None
    if mode & stat.S_IWOTH:
        yield f"{path} may be changed by every account of this machine; close it: chmod o-rwx {path}"
    elif secret and mode & stat.S_IROTH:
        yield f"{path} holds a secret that every account of this machine may read; close it: chmod o-rwx {path}"

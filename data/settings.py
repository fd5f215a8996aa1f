"""Settings, read from the environment once."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.passwords import hashed, is_hash
from engine.capacity import STREAMS
from engine.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[1]

# Error messages quote each environment variable and its allowed values from here.
ALLOWED = {
    "TICKETSCOPE_HOME": "a folder to keep everything in, such as ./var",
    "TICKETSCOPE_ARTIFACTS": "a folder, or a URL that fsspec knows, such as s3://bucket/prefix",
    "REDIS_URL": "redis://host:port/db, rediss://... or unix:///path/to/redis.sock; left out, Redis is started here",
    "TICKETSCOPE_DEVICE": "auto, cpu or cuda",
    "TICKETSCOPE_THREADS": "a whole number of 1 or more, or auto: the cores shared out among this machine's workers",
    "TICKETSCOPE_WORKERS": "a whole number of 1 or more; left out, one per core or per GPU",
    "TICKETSCOPE_TOGETHER": f"a whole number, 1 to {STREAMS}; left out, what a short measurement finds fastest",
    "TICKETSCOPE_PASSWORD": "the password that opens the dashboard",
    "TICKETSCOPE_PASSWORD_HASH": "what ticketscope password prints, in place of the password itself",
    "TICKETSCOPE_OWNERS": "the owners after an OIDC login: e-mail addresses or @domains, with commas between",
    "TICKETSCOPE_URL": "the address that others reach the dashboard at, such as https://tickets.example",
}

# Error messages must not quote the values of these variables.
SECRET = ("REDIS_URL", "TICKETSCOPE_PASSWORD", "TICKETSCOPE_PASSWORD_HASH")
REDIS_SCHEMES = ("redis", "rediss", "unix")


def default_home() -> Path:
    """Return the folder var of a checkout, or the user's data folder where Ticketscope is an installed package."""
    return CHECKOUT / "var" if (CHECKOUT / "install.py").exists() else platformdirs.user_data_path("ticketscope")


class SettingsError(UserError):
    """An environment variable has a value that Ticketscope cannot use."""


class Settings(BaseSettings):
    """All settings. An empty variable counts as not set."""

    # Fields are read only from their aliases, because the variable of the field `home` would be the shell's HOME.
    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    home: Path = Field(default_factory=default_home, validation_alias="TICKETSCOPE_HOME")
    artifacts: str = Field("", validation_alias="TICKETSCOPE_ARTIFACTS")
    redis_url: str | None = Field(None, validation_alias="REDIS_URL")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", validation_alias="TICKETSCOPE_DEVICE")
    # The number of threads changes the order of sums, and with it the numbers.
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(1, validation_alias="TICKETSCOPE_THREADS")
    workers: int | None = Field(None, ge=1, validation_alias="TICKETSCOPE_WORKERS")
    together: int | None = Field(None, ge=1, le=STREAMS, validation_alias="TICKETSCOPE_TOGETHER")
    # Passwords are left out of the model's repr, which may appear in logs.
    password: str | None = Field(None, repr=False, validation_alias="TICKETSCOPE_PASSWORD")
    password_hash: str | None = Field(None, repr=False, validation_alias="TICKETSCOPE_PASSWORD_HASH")
    owners: str = Field("", validation_alias="TICKETSCOPE_OWNERS")
    url: str | None = Field(None, validation_alias="TICKETSCOPE_URL")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        home = home.expanduser().resolve()
        if home.exists() and not home.is_dir():
            raise ValueError("is a file")
        return home

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).scheme not in REDIS_SCHEMES:
            raise ValueError("is not the URL of a Redis")
        return url

    @field_validator("password_hash")
    @classmethod
    def _known_hash(cls, text: str | None) -> str | None:
        if text is not None and not is_hash(text):
            raise ValueError("is not a hash of a password")
        return text

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("is not a web address")
        return url and url.rstrip("/")

    @property
    def login_hash(self) -> str | None:
        """The hash of the password that opens the dashboard; None where no password does."""
        return self.password_hash or (None if self.password is None else hashed(self.password))

    def model_post_init(self, context: Any, /) -> None:
        """Give `artifacts` its default, which depends on home."""
        del context
        if not self.artifacts:
            # The model is frozen from here on.
            self.__dict__["artifacts"] = str(self.home / "artifacts")

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.home / "ticketscope.duckdb"

    @property
    def datasets(self) -> Path:
        """The folder of downloaded and prepared datasets."""
        return self.home / "datasets"


def read_settings() -> Settings:
    """Return the settings in the environment as it is now; SettingsError names every faulty variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(dict(item)) for item in error.errors())) from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings that the environment had at the first call; see `read_settings` for errors."""
    return read_settings()


def _explain(item: dict[str, Any]) -> str:
    variable = str(item["loc"][0])
    message = str(item["msg"]).removeprefix("Value error, ")
    # Passwords, and URLs that may contain one, are not shown.
    value = "" if variable in SECRET else f" {str(item['input'])!r}"
    return f"{variable}{value}: {message}; give {ALLOWED[variable]}"

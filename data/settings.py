"""Settings, read once: from the environment, and below it from a settings file."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from data import settings_file
from data.passwords import hashed, is_hash
from data.settings_file import CHECKOUT, SettingsFile
from engine.errors import UserError
from engine.training.capacity import STREAMS

# Error messages quote each environment variable and its allowed values from here.
ALLOWED = {
    settings_file.VARIABLE: settings_file.FORM,
    "TICKETSCOPE_HOME": "a folder to keep everything in, such as ./var",
    "TICKETSCOPE_ARTIFACTS": "a folder, or a URL that fsspec knows, such as s3://bucket/prefix",
    "REDIS_URL": "redis://host:port/db, rediss://... or unix:///path/to/redis.sock; left out, Redis is started here",
    "TICKETSCOPE_DEVICE": "auto, cpu or cuda",
    "TICKETSCOPE_THREADS": "a whole number of 1 or more, or auto: the cores shared out among this machine's workers",
    "TICKETSCOPE_WORKERS": "a whole number of 1 or more; left out, one per core or per GPU",
    "TICKETSCOPE_TOGETHER": f"a whole number, 1 to {STREAMS}; left out, what a short measurement finds fastest",
    "TICKETSCOPE_PLUGINS": "paths of Python files or package folders, or import names, with commas between",
    "TICKETSCOPE_PASSWORD": "the password that opens the dashboard",
    "TICKETSCOPE_PASSWORD_HASH": "what ticketscope password prints, in place of the password itself",
    "TICKETSCOPE_OWNERS": "the owners after an OIDC login: e-mail addresses or @domains, with commas between",
    "TICKETSCOPE_URL": "the address that others reach the dashboard at, such as https://tickets.example",
    "TICKETSCOPE_LAB": "a name of at most 80 characters, such as Lab A",
    "TICKETSCOPE_NOTIFY": "addresses of apprise, such as mailto://user:password@lab.example, with spaces between",
}

# Error messages must not quote the values of these variables.
SECRET = ("REDIS_URL", "TICKETSCOPE_PASSWORD", "TICKETSCOPE_PASSWORD_HASH", "TICKETSCOPE_NOTIFY")
REDIS_SCHEMES = ("redis", "rediss", "unix")

# In a settings file, TICKETSCOPE_HOME is home and REDIS_URL is redis_url; a file does not name another file.
KEYS = {name.lower().removeprefix("ticketscope_"): name for name in ALLOWED if name != settings_file.VARIABLE}


def default_home() -> Path:
    """Return the folder var of a checkout, or the user's data folder where Ticketscope is an installed package."""
    return CHECKOUT / "var" if (CHECKOUT / "install.py").exists() else platformdirs.user_data_path("ticketscope")


class SettingsError(UserError):
    """An environment variable or a settings file has a value that Ticketscope cannot use."""


class Settings(BaseSettings):
    """All settings; the environment comes before the settings file. An empty variable counts as not set."""

    # Fields are read only from their aliases, because the variable of the field `home` would be the shell's HOME.
    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    config: Path | None = Field(
        None,
        validation_alias=settings_file.VARIABLE,
        description="the settings file",
        json_schema_extra={"default": "the first that exists of three places"},
    )
    home: Path = Field(
        default_factory=default_home,
        validation_alias="TICKETSCOPE_HOME",
        description="folder of the database, datasets, logs and backups",
        json_schema_extra={
            "default": "`var` in the checkout; for an installed package the user's data folder, on Linux "
            "`~/.local/share/ticketscope`",
            "costs": "6 to 9 MB of database for 1,000 stages, and the datasets",
        },
    )
    artifacts: str = Field(
        "",
        validation_alias="TICKETSCOPE_ARTIFACTS",
        description="the artifact store, which holds weights and results",
        json_schema_extra={"default": "`<home>/artifacts`", "costs": "0.3 to 111 MB for a stage, by its network"},
    )
    redis_url: str | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="the Redis to use; without it, Ticketscope starts one on a socket below its home",
        json_schema_extra={"costs": "3 MB of memory for 1,000 stages"},
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", validation_alias="TICKETSCOPE_DEVICE", description="device to train on"
    )
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        1,
        validation_alias="TICKETSCOPE_THREADS",
        description="CPU threads of each worker; with more threads, sums are added in another order, so the last "
        "digits differ",
    )
    workers: int | None = Field(
        None,
        ge=1,
        validation_alias="TICKETSCOPE_WORKERS",
        description="number of worker processes",
        json_schema_extra={"default": "one per GPU, or one per core"},
    )
    together: int | None = Field(
        None,
        ge=1,
        le=STREAMS,
        validation_alias="TICKETSCOPE_TOGETHER",
        description="number of stages that a worker trains concurrently; each gets the numbers that it gets alone (on "
        "a GPU, up to rounding)",
        json_schema_extra={"default": "measured", "costs": "memory of the device for each"},
    )
    plugins: str = Field(
        "",
        validation_alias="TICKETSCOPE_PLUGINS",
        description="Python files and modules with your own networks, pruners, starts and datasets; their code runs "
        "with your rights",
        json_schema_extra={"default": "only those of installed packages", "costs": "the time to import them"},
    )
    # Passwords are left out of the model's repr, which may appear in logs.
    password: str | None = Field(
        None,
        repr=False,
        validation_alias="TICKETSCOPE_PASSWORD",
        description="password of the dashboard; without a password or OIDC, only loopback is served",
    )
    password_hash: str | None = Field(
        None,
        repr=False,
        validation_alias="TICKETSCOPE_PASSWORD_HASH",
        description="hash of the password; replaces `TICKETSCOPE_PASSWORD`",
    )
    owners: str = Field("", validation_alias="TICKETSCOPE_OWNERS", description="who is an owner after an OIDC login")
    url: str | None = Field(
        None,
        validation_alias="TICKETSCOPE_URL",
        description="address at which others reach the dashboard; links begin with it",
    )
    lab: str = Field(
        "",
        max_length=80,
        validation_alias="TICKETSCOPE_LAB",
        description="what exported bundles call this place; without it, they give it no name",
    )
    # Such an address contains a password or a token.
    notify: str | None = Field(
        None,
        repr=False,
        validation_alias="TICKETSCOPE_NOTIFY",
        description="who gets notices of done, failed and stuck studies; needs `pip install 'ticketscope[notify]'`",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the most important source first."""
        del dotenv_settings, file_secret_settings
        file = _file()
        values: dict[str, Any] = {KEYS[key]: value for key, value in file.values.items()}
        if file.path is not None:
            values[settings_file.VARIABLE] = file.path
        return init_settings, env_settings, InitSettingsSource(settings_cls, values)

    @field_validator("config")
    @classmethod
    def _found(cls, config: Path | None) -> Path | None:
        path = config and config.expanduser().resolve()
        return None if path == Path(os.devnull) else path

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        home = home.expanduser().resolve()
        if home.exists() and not home.is_dir():
            raise ValueError("is a file")
        return home

    @field_validator("plugins")
    @classmethod
    def _absolute_paths(cls, plugins: str) -> str:
        # Processes that this one starts run in other folders.
        return ",".join(settings_file.plugin_names(plugins, Path.cwd()))

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

    @field_validator("lab")
    @classmethod
    def _printable(cls, lab: str) -> str:
        if not lab.isprintable():
            raise ValueError("has characters that cannot be shown")
        return lab.strip()

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("is not a web address")
        return url and url.rstrip("/")

    @field_validator("notify")
    @classmethod
    def _addresses(cls, text: str | None) -> str | None:
        if text is not None and "://" not in text:
            raise ValueError("has no address")
        return text

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
    def plugin_names(self) -> tuple[str, ...]:
        """The plugins to load: absolute paths, or import names."""
        return tuple(filter(None, self.plugins.split(",")))

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.home / "ticketscope.duckdb"

    @property
    def dashboard_address(self) -> Path:
        """The file with the address that opens the running dashboard to whoever knows it."""
        return self.home / "dashboard.address"

    @property
    def datasets(self) -> Path:
        """The folder of downloaded and prepared datasets."""
        return self.home / "datasets"


def read_settings() -> Settings:
    """Return the settings as they are now; SettingsError names everything that is wrong with variables and file."""
    file = _file()
    faults = list(file.faults)
    try:
        config = Settings()
    except ValidationError as error:
        faults += [_explain(dict(item), file) for item in error.errors()]
    if faults:
        raise SettingsError("\n".join(faults))
    return config


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of the first call, which also sets the file's variables; see `read_settings` for errors."""
    config = read_settings()
    for name, value in _file().environment.items():
        os.environ.setdefault(name, value)
    return config


def _file() -> SettingsFile:
    return settings_file.read({key: ALLOWED[variable] for key, variable in KEYS.items()})


def _explain(item: dict[str, Any], file: SettingsFile) -> str:
    variable = str(item["loc"][0])
    key = next((key for key in file.values if KEYS[key] == variable), None)
    # A variable that is set, in whatever case, comes before the file.
    in_environment = any(name.upper() == variable and value for name, value in os.environ.items())
    place = file.place(key) if key and not in_environment else variable
    message = str(item["msg"]).removeprefix("Value error, ")
    # Passwords, and URLs that may contain one, are not shown.
    value = "" if variable in SECRET else f" {str(item['input'])!r}"
    return f"{place}{value}: {message}; give {ALLOWED[variable]}"

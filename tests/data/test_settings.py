from pathlib import Path

import pytest
from pydantic import ValidationError

from data import settings_file
from data.passwords import hashed
from data.settings import ALLOWED, Settings, SettingsError, read_settings, settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(settings_file, "places", list)
    monkeypatch.chdir(tmp_path)


def test_defaults_lie_below_the_checkout_from_wherever_a_command_is_run() -> None:
    config = read_settings()
    home = Path(__file__).parents[2] / "var"
    assert config.home == home
    assert config.artifacts == str(home / "artifacts")
    assert config.database == home / "ticketscope.duckdb"
    assert config.datasets == home / "datasets"
    assert (config.device, config.threads) == ("auto", 1)
    assert (config.redis_url, config.workers, config.password) == (None, None, None)


def test_threads_may_be_left_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_THREADS", "auto")
    assert read_settings().threads == "auto"


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").touch()
    values = {
        "TICKETSCOPE_CONFIG": "settings.toml",
        "TICKETSCOPE_HOME": str(tmp_path / "elsewhere"),
        "TICKETSCOPE_ARTIFACTS": "s3://bucket/prefix",
        "REDIS_URL": "redis://localhost:6379/1",
        "TICKETSCOPE_DEVICE": "cpu",
        "TICKETSCOPE_THREADS": "2",
        "TICKETSCOPE_WORKERS": "3",
        "TICKETSCOPE_TOGETHER": "4",
        "TICKETSCOPE_PLUGINS": "nets.py,lab.networks",
        "TICKETSCOPE_PASSWORD": "open sesame",
        "TICKETSCOPE_PASSWORD_HASH": hashed("open sesame"),
        "TICKETSCOPE_OWNERS": "ada@lab.example, @group.example",
        "TICKETSCOPE_URL": "https://tickets.example/",
        "TICKETSCOPE_LAB": "Lab A",
        "TICKETSCOPE_NOTIFY": "json://lab.example/hook mailto://ada:sesame@lab.example",
    }
    assert values.keys() == ALLOWED.keys()
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)
    config = read_settings()
    assert config.config == tmp_path / "settings.toml"
    assert config.home == tmp_path / "elsewhere"
    assert config.artifacts == "s3://bucket/prefix"
    assert (config.redis_url, config.device) == ("redis://localhost:6379/1", "cpu")
    assert (config.threads, config.workers, config.password) == (2, 3, "open sesame")
    assert config.plugin_names == (str(tmp_path / "nets.py"), "lab.networks")
    assert (config.owners, config.url) == ("ada@lab.example, @group.example", "https://tickets.example")
    assert config.login_hash == values["TICKETSCOPE_PASSWORD_HASH"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TICKETSCOPE_PASSWORD_HASH", "sesame", "not a hash of a password; give what ticketscope password prints"),
        ("TICKETSCOPE_URL", "tickets.example", "not a web address; give the address"),
        ("TICKETSCOPE_NOTIFY", "sesame@lab.example", "has no address; give addresses of apprise"),
    ],
)
def test_an_invalid_password_hash_or_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message) as error:
        read_settings()
    assert "sesame" not in str(error.value)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ALLOWED:
        monkeypatch.setenv(variable, "")
    assert read_settings().redis_url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TICKETSCOPE_DEVICE", "tpu"),
        ("TICKETSCOPE_THREADS", "0"),
        ("TICKETSCOPE_THREADS", "many"),
        ("TICKETSCOPE_WORKERS", "-1"),
        ("REDIS_URL", "http://localhost"),
    ],
)
def test_the_error_for_a_faulty_variable_states_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as error:
        read_settings()
    assert ALLOWED[variable] in str(error.value)


def test_all_faulty_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_DEVICE", "tpu")
    monkeypatch.setenv("TICKETSCOPE_THREADS", "0")
    with pytest.raises(SettingsError, match=r"(?s)TICKETSCOPE_DEVICE.*TICKETSCOPE_THREADS"):
        read_settings()


def test_passwords_are_shown_neither_in_errors_nor_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", "open sesame")
    monkeypatch.setenv("TICKETSCOPE_NOTIFY", "mailto://ada:sesame@lab.example")
    assert "sesame" not in repr(read_settings())
    monkeypatch.setenv("REDIS_URL", "http://:sesame@host")
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert "sesame" not in str(error.value)


def test_home_that_is_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TICKETSCOPE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="is a file; give a folder"):
        read_settings()


def test_settings_are_read_once_and_never_change(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    assert first.home == home
    monkeypatch.setenv("TICKETSCOPE_THREADS", "7")
    assert settings() is first
    with pytest.raises(ValidationError):
        first.threads = 2  # type: ignore[misc]
    assert Settings(TICKETSCOPE_HOME=home, TICKETSCOPE_THREADS=3).threads == 3

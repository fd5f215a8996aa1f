"""Settings in a file: where it is looked for, what comes before it, and what is wrong with it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data import settings_file
from data.passwords import hashed
from data.settings import ALLOWED, KEYS, SettingsError, read_settings, settings

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    # The checkout, the user's folder and the system's are folders of this test.
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "install.py").touch()
    monkeypatch.setattr(settings_file, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(settings_file, "SYSTEM", tmp_path / "etc")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes a settings file and names it in TICKETSCOPE_CONFIG."""

    def write(text: str | bytes, mode: int = 0o600) -> Path:
        file = tmp_path / "settings.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        monkeypatch.setenv("TICKETSCOPE_CONFIG", str(file))
        return file

    return write


def test_every_setting_may_be_in_the_file(write: Write, tmp_path: Path) -> None:
    password_hash = hashed("open sesame")
    values: dict[str, object] = {
        "home": "/srv/tickets",
        "artifacts": "s3://bucket/prefix",
        "redis_url": "redis://:secret@localhost:6379/1",
        "device": "cpu",
        "threads": 2,
        "workers": 3,
        "together": "4",
        "plugins": "my_lab.networks",
        "password": "sesame",
        "password_hash": password_hash,
        "owners": "ada@lab.example, @group.example",
        "url": "https://tickets.example/",
        "lab": "Lab A",
        "notify": "json://lab.example/hook",
    }
    assert values.keys() == KEYS.keys()
    file = write("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    config = read_settings()
    assert config.config == file
    read = {key: getattr(config, key) for key in values}
    assert read == {**values, "home": Path("/srv/tickets"), "together": 4, "url": "https://tickets.example"}


def test_the_environment_comes_before_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("workers = 3\nthreads = 2\ndevice = 'tpu'\nurl = ''\n")
    monkeypatch.setenv("TICKETSCOPE_WORKERS", "5")
    monkeypatch.setenv("TICKETSCOPE_DEVICE", "cpu")
    # An empty variable counts as not set, as an empty text of the file does.
    monkeypatch.setenv("TICKETSCOPE_THREADS", "")
    config = read_settings()
    assert (config.workers, config.threads, config.device, config.url) == (5, 2, "cpu", None)


def test_folders_are_relative_to_the_file_wherever_a_command_is_run(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('home = "kept"\nartifacts = "../weights"\n')
    monkeypatch.chdir("/")
    config = read_settings()
    assert config.home == tmp_path / "kept"
    assert Path(config.artifacts).resolve() == tmp_path.parent / "weights"
    write('home = "~/kept"\nartifacts = "file:///srv/weights"\n')
    config = read_settings()
    assert (config.home, config.artifacts) == (Path.home() / "kept", "file:///srv/weights")


def test_one_file_is_read_from_the_first_place_that_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file in the current folder may be a stranger's.
    (tmp_path / "current").mkdir()
    (tmp_path / "current" / settings_file.NAME).write_text("workers = 9")
    monkeypatch.chdir(tmp_path / "current")
    assert read_settings().workers is None
    for number, folder in enumerate(("etc", "user/ticketscope", "checkout"), start=1):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        file = tmp_path / folder / settings_file.NAME
        file.write_text(f"workers = {number}\n" + ("threads = 4\n" if folder == "etc" else ""))
        config = read_settings()
        # Files are not merged.
        assert (config.config, config.workers, config.threads) == (file, number, 4 if folder == "etc" else 1)
    monkeypatch.setenv("TICKETSCOPE_CONFIG", os.devnull)
    assert (read_settings().workers, read_settings().config) == (None, None)


def test_an_installed_package_has_no_file_beside_its_code(tmp_path: Path) -> None:
    (tmp_path / "checkout" / settings_file.NAME).write_text("workers = 2")
    (tmp_path / "checkout" / "install.py").unlink()
    assert read_settings().workers is None


def test_variables_of_libraries_are_set_where_the_environment_has_none(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    write('[environment]\nAWS_DEFAULT_REGION = "us-east-1"\nAWS_ENDPOINT_URL = "https://s3.tickets.example"\n')
    settings.cache_clear()
    settings()
    settings.cache_clear()
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert os.environ["AWS_ENDPOINT_URL"] == "https://s3.tickets.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nworker = 3", ("line 2: worker is no setting", "did you mean workers?", "home, artifacts")),
        ("TICKETSCOPE_URL = 'x'", ("line 1: TICKETSCOPE_URL is no setting", "did you mean url?")),
        ("config = 'other.toml'", ("line 1: config is no setting",)),
        ("[workers]\na = 1", ("line 1: workers is neither a text nor a whole number", ALLOWED["TICKETSCOPE_WORKERS"])),
        ("workers = true", ("workers is neither a text nor a whole number",)),
        ("workers = 0", ("line 1: workers '0'", ALLOWED["TICKETSCOPE_WORKERS"])),
        ("# first\n  device = 'tpu'", ("line 2: device 'tpu'", "give auto, cpu or cuda")),
        ("owners = ['ada@lab.example']", ("owners", "with commas between")),
        ("redis_url = 'http://:geheim@host'", ("line 1: redis_url: is not the URL of a Redis",)),
        ("environment = 1", ("environment is no table",)),
        ("[environment]\nREDIS_URL = 'x'", ("line 2: REDIS_URL is a setting", "as redis_url")),
        ("[environment]\nAWS_X = [1]", ("line 2: AWS_X is no variable",)),
        ("home = 'x", ("is not valid TOML", "end of document")),
        ("[[[[", ("is not valid TOML",)),
        ("workers = 1".encode("utf-16"), ("UTF-16",)),
        ("name = 'Grün'".encode("latin-1"), ("line 1", "not UTF-8")),
        (b"\x00\x01", ("no text at all",)),
    ],
)
def test_faults_name_the_file_the_line_and_what_is_allowed(
    write: Write, text: str | bytes, words: tuple[str, ...]
) -> None:
    file = write(text)
    with pytest.raises(SettingsError) as error:
        read_settings()
    for word in (str(file), *words):
        assert word in str(error.value)
    assert "geheim" not in str(error.value)


def test_a_byte_order_mark_is_read_over(write: Write) -> None:
    write(b"\xef\xbb\xbfworkers = 3\r\n")
    assert read_settings().workers == 3


def test_all_faults_of_file_and_environment_are_told_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("worker = 3\ndevice = 'tpu'\nthreads = 'many'\n")
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "0")
    monkeypatch.setenv("TICKETSCOPE_THREADS", "some")
    with pytest.raises(SettingsError) as error:
        read_settings()
    text = str(error.value)
    assert len(text.splitlines()) >= 4
    for word in ("line 1: worker", "line 2: device", "TICKETSCOPE_TOGETHER '0'", "TICKETSCOPE_THREADS 'some'"):
        assert word in text
    # The variable comes before the file's value, so that this one is not at fault.
    assert "many" not in text


@pytest.mark.parametrize(
    "text", ["password = 'x'", "redis_url = 'redis://:x@h'", "[environment]\nAWS_SECRET_ACCESS_KEY = 'x'"]
)
def test_a_secret_that_every_account_may_read_is_refused(write: Write, text: str) -> None:
    for mode in (0o604, 0o644):
        file = write(text, mode)
        with pytest.raises(SettingsError, match=f"chmod o-rwx {file}"):
            read_settings()
    write(text, 0o640)
    read_settings()


def test_a_file_that_every_account_may_change_is_refused(write: Write) -> None:
    write("workers = 3", 0o646)
    with pytest.raises(SettingsError, match="may be changed by every account"):
        read_settings()
    write("workers = 3", 0o644)
    assert read_settings().workers == 3


@pytest.mark.parametrize("kind", ["missing", "a folder", "a pipe"])
def test_a_named_file_must_be_one(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "named.toml"
    monkeypatch.setenv("TICKETSCOPE_CONFIG", str(named))
    if kind == "a folder":
        named.mkdir()
    elif kind == "a pipe":
        os.mkfifo(named)
    with pytest.raises(SettingsError, match="give the path of a settings file in TOML") as error:
        read_settings()
    assert str(named) in str(error.value)

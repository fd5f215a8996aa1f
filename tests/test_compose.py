"""Checks of compose.yaml and the Dockerfile that need no container engine."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from data.passwords import hashed, matches
from data.settings import ALLOWED, read_settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OURS = ("recorder", "worker", "app")
# Settings that compose.yaml does not pass on, with the reason.
NOT_PASSED = {"TICKETSCOPE_CONFIG": "a container's settings are its environment, which compose writes"}
# The value of a variable as compose reads it: a variable with a default or an error, which may contain another one.
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])((?:\$\{[^}]*\}|[^}])*))?\}")


def rendered(text: str, values: Mapping[str, str | None]) -> str:
    """Return a text of compose.yaml with its variables replaced; KeyError, with its words, for one that is required."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if given := values.get(name):
            return given
        if kind == "?":
            raise KeyError(rest)
        return rendered(rest or "", values)

    return "$".join(VARIABLE.sub(value, part) for part in text.split("$$"))


def environment(service: str, env_file: str) -> dict[str, str]:
    """Return the environment of a service with a file .env."""
    values = dotenv_values(stream=io.StringIO(env_file), interpolate=False)
    return {name: rendered(text, values) for name, text in SERVICES[service]["environment"].items()}


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_needless_rights(name: str) -> None:
    service = SERVICES[name]
    user, _, group = str(service["user"]).partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}
    # Every volume has a name, so that no folder of the host is mounted.
    assert all(re.match(r"[a-z]+:/", volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_host_alone(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_secrets_are_required(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or re.fullmatch(r"[a-z/]+:[0-9][0-9a-z.-]*", service["image"])
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|ACCESS_KEY", variable):
            if variable == "TICKETSCOPE_PASSWORD_HASH":
                # The password is required if there is no hash.
                continue
            with pytest.raises(KeyError, match=r"set|choose"):
                rendered(value, {})


def test_workers_have_no_access_to_the_database_and_time_to_stop() -> None:
    [volume] = SERVICES["worker"]["volumes"]
    assert volume not in SERVICES["recorder"]["volumes"]
    assert SERVICES["recorder"]["volumes"] == SERVICES["app"]["volumes"]
    assert SERVICES["worker"]["stop_grace_period"] == "2m"
    assert "container_name" not in SERVICES["worker"]


@pytest.mark.parametrize("name", OURS)
def test_services_use_known_settings_and_the_user_and_home_of_the_image(name: str) -> None:
    ours = {variable for variable in SERVICES[name]["environment"] if not variable.startswith("AWS_")}
    assert ours <= set(ALLOWED)
    dockerfile = (ROOT / "Dockerfile").read_text()
    [user] = re.findall(r"^USER ([0-9]+)$", dockerfile, re.MULTILINE)
    assert SERVICES[name]["user"] == f"{user}:{user}"
    assert f"TICKETSCOPE_HOME={SERVICES[name]['environment']['TICKETSCOPE_HOME']}" in dockerfile


def test_every_setting_is_passed_to_a_service_or_named_as_one_that_is_not() -> None:
    passed = {variable for name in OURS for variable in SERVICES[name]["environment"]}
    assert passed.isdisjoint(NOT_PASSED)
    missing = set(ALLOWED) - passed - set(NOT_PASSED)
    assert not missing, f"pass {missing} in compose.yaml, or name the reason in NOT_PASSED"


REQUIRED = """\
REDIS_PASSWORD='r3dis'
AWS_ACCESS_KEY_ID='key'
AWS_SECRET_ACCESS_KEY='secret'
"""


@pytest.mark.parametrize("name", OURS)
def test_what_compose_passes_is_what_settings_accept(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    password_hash = hashed("open sesame")
    given = {
        "TICKETSCOPE_PASSWORD_HASH": password_hash,
        "TICKETSCOPE_OWNERS": "ada@lab.example, @group.example",
        "TICKETSCOPE_URL": "https://tickets.example",
        "TICKETSCOPE_LAB": "Lab A",
        "TICKETSCOPE_NOTIFY": "json://lab.example/hook",
        "TICKETSCOPE_PLUGINS": "plugins/lenet5.py",
        "TICKETSCOPE_DEVICE": "cpu",
        "TICKETSCOPE_THREADS": "auto",
        "TICKETSCOPE_WORKERS": "3",
        "TICKETSCOPE_TOGETHER": "4",
    }
    for extra in ({"TICKETSCOPE_PASSWORD_HASH": password_hash}, given):
        env_file = REQUIRED + "".join(f"{variable}='{value}'\n" for variable, value in extra.items())
        values = environment(name, env_file)
        for variable, value in values.items():
            if variable in ALLOWED:
                monkeypatch.setenv(variable, value)
        config = read_settings()
        assert config.redis_url == "redis://:r3dis@redis:6379/0"
        for variable in given.keys() & values.keys():
            assert values[variable] == extra.get(variable, "")
        if name == "app":
            assert config.login_hash == password_hash


def test_a_dollar_in_a_quoted_password_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    values = environment("app", REQUIRED + "TICKETSCOPE_PASSWORD='pa$$word$HOME${HOME}'\n")
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", values["TICKETSCOPE_PASSWORD"])
    login_hash = read_settings().login_hash
    assert login_hash is not None
    assert matches("pa$$word$HOME${HOME}", login_hash)


def test_the_header_names_the_variables_that_compose_reads() -> None:
    header = COMPOSE[: COMPOSE.index("x-hardened")]
    for variable in {match[1] for match in VARIABLE.finditer(COMPOSE)}:
        assert re.search(rf"\b{variable}\b", header), f"the comment at the top does not name {variable}"


def test_the_gpu_variant_changes_the_worker_alone() -> None:
    changed = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert list(changed) == ["worker"]
    [device] = changed["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}

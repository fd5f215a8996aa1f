"""Checks of compose.yaml and the Dockerfile that need no container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.settings import ALLOWED

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = ("recorder", "worker", "app")


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
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[a-zA-Z ]+\}", value)


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


def test_the_gpu_variant_changes_the_worker_alone() -> None:
    changed = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert list(changed) == ["worker"]
    [device] = changed["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}

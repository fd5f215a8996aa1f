"""What can be said of compose.yaml and the Dockerfile without an engine that runs them."""

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
def test_no_service_can_do_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    user, _, group = str(service["user"]).partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}
    # Only volumes with a name: no folder of the host is written to.
    assert all(re.match(r"[a-z]+:/", volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_those_of_this_host_alone(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_secrets_are_asked_for(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or re.fullmatch(r"[a-z/]+:[0-9][0-9a-z.-]*", service["image"])
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|ACCESS_KEY", variable):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[a-zA-Z ]+\}", value)


def test_workers_see_no_database_and_stop_slowly() -> None:
    [volume] = SERVICES["worker"]["volumes"]
    assert volume not in SERVICES["recorder"]["volumes"]
    assert SERVICES["recorder"]["volumes"] == SERVICES["app"]["volumes"]
    assert SERVICES["worker"]["stop_grace_period"] == "2m"
    assert "container_name" not in SERVICES["worker"]


@pytest.mark.parametrize("name", OURS)
def test_parts_are_given_what_the_settings_know_and_run_as_the_image_does(name: str) -> None:
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

import pytest

from data.queries import studies
from engine import registry
from engine.registry import NETWORKS, Network
from engine.study.plan import Stage
from tasks.studies.planning import plan_study
from tasks.worker.engine_check import OtherEngine, check_engine
from tests.machine import Machine, tiny_study


def stage(machine: Machine) -> Stage:
    return next(iter(plan_study(tiny_study(), machine.config.home).stages.values()))


def test_a_worker_with_other_code_fails_a_stage_with_the_reason(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.recorder()
    machine.worker()
    # This process plans with a raised version of the network; the worker has the code of the version before.
    monkeypatch.setitem(NETWORKS, "lenet300", Network("LeNet-300", "engine.models.networks:lenet300", version=2))
    study_id = machine.launch(tiny_study())
    machine.wait_until(study_id, "failed")
    failed = studies.stages(machine.database, study_id).iloc[0]
    assert failed["attempt"] == 1
    assert "network lenet300 (version 2 planned, version 1 loaded)" in failed["error"]
    assert "restart the workers" in failed["error"]


def test_a_stage_of_another_engine_or_an_unknown_network_is_refused(machine: Machine) -> None:
    planned = stage(machine)
    check_engine(planned, planned.fingerprint)
    with pytest.raises(OtherEngine, match="engine gives other numbers"):
        check_engine(planned, "0" * 32)
    unknown = planned.model_copy(update={"network": "lenet5"})
    with pytest.raises(OtherEngine, match=r"the network 'lenet5' .*, which this worker does not know"):
        check_engine(unknown, unknown.fingerprint)


def test_added_code_that_cannot_be_loaded_is_logged_as_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(NETWORKS, "gone", Network("gone", "nowhere:network"))
    registry.load_added()
    assert "nowhere:network is not loaded" in caplog.text

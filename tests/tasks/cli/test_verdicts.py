"""The command `verdicts`: what it prints of a study's runs, and the seeds that it adds."""

import json
import re

from data.queries import studies
from engine.study.spec import load_study
from tasks.process import ROOT
from tasks.queue import leases
from tests.machine import Machine, tiny_study
from tests.tasks.conftest import Command


def test_it_says_what_holds_and_what_would_decide_the_rest_and_queues_more_seeds(
    machine: Machine, command: Command
) -> None:
    machine.recorder()
    machine.worker()
    study_id = machine.launch(tiny_study(seeds=[0, 1]))
    machine.wait_until(study_id)
    code, shown, _ = command("verdicts", study_id)
    assert code == 0
    assert "undecided" in shown
    assert "runs missing" in shown
    assert re.search(r"Needs \d+ more seed|No number of seeds", " ".join(shown.split()))
    code, shown, _ = command("verdicts", study_id, "--json")
    assert code == 0
    found = json.loads(shown)
    assert {"claim", "verdict", "effect", "low", "high", "confidence", "n", "seeds_needed"} <= found[0].keys()
    undecided = [verdict for verdict in found if verdict["verdict"] == "undecided"]
    assert all(verdict["needs"] and (verdict["seeds_needed"] or 3) >= 3 for verdict in undecided)
    assert {verdict["verdict"] for verdict in found} == {"undecided", "missing"}
    code, shown, _ = command("verdicts", study_id, "--add-seeds", "1")
    assert code == 0
    assert "Tiny (3 seeds)" in shown
    (larger,) = set(leases.studies(machine.redis)) - {study_id}
    machine.wait_until(larger)
    # Two of three seeds were there.
    reused = studies.stages(machine.database, larger)
    assert reused.groupby("seed")["reused"].all().to_dict() == {0: True, 1: True, 2: False}
    code, shown, _ = command("verdicts", larger, "--json")
    assert max(verdict["n"] for verdict in json.loads(shown)) == 3


def test_a_study_that_is_not_there_is_refused(machine: Machine, command: Command) -> None:
    machine.launch(load_study(ROOT / "studies" / "demo.toml"))
    code, _, error = command("verdicts", "nothing")
    assert code == 2
    assert "no study begins with 'nothing'" in error

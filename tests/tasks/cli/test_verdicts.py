"""The command `verdicts`: the verdicts that it prints, and the seeds that it adds."""

import json
import re
from pathlib import Path

from data.database.database import Database
from data.queries import studies
from engine.study.spec import load_study, parse_study
from tasks.process import ROOT
from tasks.queue import leases
from tests.app.made_study import record
from tests.machine import Machine, tiny_study
from tests.tasks.conftest import Command


def test_verdicts_are_printed_with_the_seeds_they_need_and_seeds_can_be_added(
    machine: Machine, command: Command
) -> None:
    machine.recorder()
    machine.worker()
    study_id = machine.launch(tiny_study(seeds=[0, 1]))
    machine.wait_until(study_id)
    code, output, _ = command("verdicts", study_id)
    assert code == 0
    assert "undecided" in output
    assert "runs missing" in output
    assert re.search(r"Needs \d+ more seed|No number of seeds", " ".join(output.split()))
    code, output, _ = command("verdicts", study_id, "--json")
    assert code == 0
    rows = json.loads(output)
    assert {"claim", "verdict", "effect", "low", "high", "confidence", "n", "seeds_needed"} <= rows[0].keys()
    undecided = [verdict for verdict in rows if verdict["verdict"] == "undecided"]
    assert all(verdict["needs"] and (verdict["seeds_needed"] or 3) >= 3 for verdict in undecided)
    assert {verdict["verdict"] for verdict in rows} == {"undecided", "missing"}
    code, output, _ = command("verdicts", study_id, "--add-seeds", "1")
    assert code == 0
    assert "Tiny (3 seeds)" in output
    (larger,) = set(leases.studies(machine.redis)) - {study_id}
    machine.wait_until(larger)
    # Two of three seeds were trained already.
    reused = studies.stages(machine.database, larger)
    assert reused.groupby("seed")["reused"].all().to_dict() == {0: True, 1: True, 2: False}
    code, output, _ = command("verdicts", larger, "--json")
    assert max(verdict["n"] for verdict in json.loads(output)) == 3


def test_other_learning_rates_are_judged_too_and_not_counted(home: Path, command: Command) -> None:
    database = Database(home / "ticketscope.duckdb")
    database.ensure()
    rates = [0.01, 0.03, 0.1]
    study = {"name": "Three", "datasets": ["digits"], "networks": ["lenet300"], "learning_rates": rates}
    record(database, parse_study({**study, "pruners": ["iterative"], "sparsities": [0.5, 0.9], "seeds": [0, 1, 2]}))
    rows = json.loads(command("verdicts", "made-study", "--json")[1])
    others = [row for row in rows if row["at_another_rate"]]
    assert {row["scope"]["learning_rate"] for row in others} == {"learning rate 0.03"}
    assert all("asked" in row["scope"] for row in others)
    output = command("verdicts", "made-study")[1]
    assert output.count("at another learning") == len(others) > 0
    counted = [row for row in rows if not (row["at_another_rate"] or row["control"])]
    title = output.split("\u250c")[0].split("\u250f")[0]
    assert sum(map(int, re.findall(r"\d+", title))) == len(counted)


def test_an_unknown_study_is_refused(machine: Machine, command: Command) -> None:
    machine.launch(load_study(ROOT / "studies" / "demo.toml"))
    code, _, error = command("verdicts", "nothing")
    assert code == 2
    assert "no study begins with 'nothing'" in error

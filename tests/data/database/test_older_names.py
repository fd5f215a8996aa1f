"""Results of ADMM from before rho could grow count as results of ADMM with constant rho."""

import json
from pathlib import Path

import duckdb
import pytest

from data import saved_views
from data.database.database import Database
from data.database.events import Event, StudyLaunched, parse
from data.parquet import tables_from_database
from data.queries import evidence, launches, studies
from data.queries import points as queries
from data.queries.selection import OneStudy, Roles
from engine.study.plan import Plan, plan
from engine.study.spec import parse_study, to_toml
from tests.data.made_results import STUDY_ID, Stream, copy_into, made_plan, whole_study

SCHEMA = Path(__file__).parent / "schemas" / "003.sql"
PARTS = [{"pruners": ["admm_constant"], "seeds": [0]}, {"pruners": ["oneshot"]}]
MADE = made_plan(
    pruners=["oneshot", "admm_constant"],
    starts=["finetune", "reinit"],
    admm={"rho": 0.05, "rounds": 4},
    note='of "admm",\n    "admm",\n',
    parts=PARTS,
)


def older(toml: str) -> str:
    return toml.replace('    "admm_constant",\n', '    "admm",\n')


def older_spec(spec: str) -> str:
    """Return a stage's JSON as it was before rho could grow."""
    values = json.loads(spec)
    del values["rho_grows"]
    if values["admm"] is not None:
        del values["admm"]["rho_start"], values["admm"]["rho_end"]
    return json.dumps(values, separators=(",", ":"))


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """A database of version 3 after a study under ADMM, as the Ticketscope of that version wrote it."""
    new, path = Database(tmp_path / "new" / "ticketscope.duckdb"), tmp_path / "old" / "ticketscope.duckdb"
    new.record(whole_study(Stream(), MADE))
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute(SCHEMA.read_text())
        connection.execute(f"ATTACH '{new.path}' AS new (READ_ONLY)")
        connection.execute("DELETE FROM meta WHERE key <> 'version'")
        copy_into(connection, "new")
        connection.create_function("older", older, ["VARCHAR"], "VARCHAR")
        connection.create_function("older_spec", older_spec, ["VARCHAR"], "VARCHAR")
        connection.execute("UPDATE roles SET pruner = 'admm' WHERE pruner = 'admm_constant'")
        connection.execute("UPDATE studies SET pruners = ['oneshot', 'admm'], toml = older(toml)")
        connection.execute("UPDATE stages SET spec = older_spec(spec)")
        connection.execute(
            "INSERT INTO views VALUES ('v1', 'one', 's=0123ab&v=sweep&pr=oneshot~admm&q=admm', now()::TIMESTAMP), "
            "('v2', 'other', 's=0123ab&pr=oneshot&d=folder%3A%2Fadmm', now()::TIMESTAMP)"
        )
        connection.execute(
            "INSERT INTO shares (share_id, token_hash, study_ids, state, note, created_at) VALUES "
            "('a', 'x', ['0123abcd'], 'pr=admm', '', now()::TIMESTAMP), "
            "('b', 'y', ['0123abcd'], NULL, '', now()::TIMESTAMP)"
        )
        [(written,)] = connection.execute("SELECT toml FROM studies").fetchall()
        assert '    "admm",\n' in written
        assert "admm_constant" not in written
    return Database(path)


def test_older_results_of_admm_belong_to_admm_with_constant_rho(old: Database) -> None:
    points = queries.accuracy(old, OneStudy(STUDY_ID))
    assert set(points["pruner"].dropna()) == {"oneshot", "admm_constant"}
    assert set(zip(points["fingerprint"], points["pruner"], strict=True)) >= {
        (role.fingerprint, "admm_constant") for role in MADE.roles if role.pruner == "admm_constant"
    }
    assert points["support_moved"].isna().all()
    assert set(studies.residuals(old, STUDY_ID)["pruner"]) == {"admm_constant"}
    stages = studies.stages(old, STUDY_ID)
    assert set(stages[stages["kind"] == "admm"]["pruners"]) == {"admm_constant"}
    supports = studies.supports(old, STUDY_ID)
    assert len(supports) == sum(stage.kind == "admm" for stage in MADE.stages.values())
    assert supports[["moved", "accuracy", "oneshot_accuracy"]].isna().all(axis=None)
    assert (supports["residual"] == 0.25).all()
    assert all(point.moved is None for point in evidence.evidence(old, STUDY_ID)[0])
    assert "admm" not in tables_from_database(old, STUDY_ID)["accuracy"]["pruner"].to_pylist()


def test_an_older_study_is_read_and_a_copy_of_it_has_the_same_stages(old: Database) -> None:
    record = studies.study(old, STUDY_ID)
    assert record.study == MADE.study
    # Today's Ticketscope would launch it so.
    copied = plan(parse_study(record.study.model_dump()), {"digits": "content of digits"})
    assert copied.stages.keys() == MADE.stages.keys()
    assert studies.studies(old)["pruners"][0] == ["oneshot", "admm_constant"]
    assert len(queries.accuracy(old, Roles(copied.roles))) == len(MADE.roles)


def test_an_older_study_in_the_queue_again_has_the_same_stages(old: Database) -> None:
    launch = launches.read(old, STUDY_ID)
    assert {f: standing.stage.fingerprint for f, standing in launch.stages.items()} == {f: f for f in MADE.stages}
    assert {role["pruner"] for role in launch.body["roles"]} == {None, "oneshot", "admm_constant"}


def test_older_views_and_links_show_what_they_showed(old: Database) -> None:
    states = {str(row["name"]): row["state"] for _, row in saved_views.list(old).iterrows()}
    assert states == {
        "one": "s=0123ab&v=sweep&pr=oneshot~admm_constant&q=admm_constant",
        "other": "s=0123ab&pr=oneshot&d=folder%3A%2Fadmm",
    }
    with old.reading() as connection:
        links = connection.execute("SELECT state FROM shares ORDER BY share_id").fetchall()
    assert links == [("pr=admm_constant",), (None,)]


def as_launched_earlier(event: Event) -> Event:
    """Return the event of a launch as an earlier version sent it, and as its Redis may still hold it."""
    body = dict(event.body)
    body["toml"] = older(body["toml"])
    body["roles"] = [{**r, "pruner": "admm" if r["pruner"] == "admm_constant" else r["pruner"]} for r in body["roles"]]
    body["stages"] = [json.loads(older_spec(json.dumps(stage))) for stage in body["stages"]]
    return Event(event.id, event.kind, body)


def test_an_earlier_launch_is_recorded_with_constant_rho(database: Database) -> None:
    stream = Stream()
    parsed = parse(as_launched_earlier(stream.launched(MADE)))
    assert isinstance(parsed, StudyLaunched)
    assert parsed.roles == MADE.roles
    assert parsed.toml == to_toml(MADE.study)
    # A retry and `rebuild` record it again.
    database.record([as_launched_earlier(stream.launched(MADE)), as_launched_earlier(stream.launched(MADE))])
    assert studies.study(database, STUDY_ID).study == MADE.study


def test_an_earlier_launch_with_an_unused_rho_is_recorded(database: Database) -> None:
    event = Stream().launched(made_plan(pruners=["oneshot"]))
    body = {**event.body, "toml": f"{event.body['toml']}rho = 0.05\n"}
    assert body["toml"].rstrip().partition("[admm]")[2]
    database.record([Event(event.id, event.kind, body)])
    assert studies.study(database, STUDY_ID).study.admm.rho == 0.05


def test_a_present_launch_is_recorded_as_it_is() -> None:
    planned: Plan = made_plan(pruners=["admm", "admm_constant"])
    parsed = parse(Stream().launched(planned))
    assert isinstance(parsed, StudyLaunched)
    assert (parsed.roles, parsed.toml) == (planned.roles, to_toml(planned.study))

"""Fingerprints that stages have had from the first version on; existing results are looked up by them."""

import hashlib
from pathlib import Path

import pytest

from engine.registry import NETWORKS, Network
from engine.study.plan import Plan, Stage, plan
from engine.study.recipe import Recipe
from engine.study.spec import load_study, parse_study

IDENTITY = "0" * 32
STUDY: dict[str, object] = {
    "name": "pinned",
    "datasets": ["digits"],
    "networks": ["lenet300"],
    "learning_rates": [0.1],
    "pruners": ["iterative", "oneshot", "random"],
    "sparsities": [0.5, 0.8],
    "starts": ["winning_ticket", "reinit", "rewind", "finetune"],
    "seeds": [0],
}
OTHER_RECIPE = {
    "epochs": 3,
    "batch_size": 32,
    "momentum": 0.5,
    "weight_decay": 0.0,
    "milestones": [0.5],
    "decay": 0.5,
    "augmentation": "flip",
    "precision": "bf16",
    "rewind_epoch": 2,
}
DENSE_ONLY = {"pruners": [], "sparsities": [], "starts": []}


def pinned(**changes: object) -> Plan:
    return plan(parse_study({**STUDY, **changes}), {"digits": IDENTITY})


def of(planned: Plan, pruner: str | None, sparsity: float, start: str) -> str:
    (fingerprint,) = (
        r.fingerprint for r in planned.roles if (r.pruner, r.sparsity, r.start) == (pruner, sparsity, start)
    )
    return fingerprint


@pytest.mark.parametrize(
    ("pruner", "sparsity", "start", "fingerprint"),
    [
        (None, 0.0, "dense", "24f5df3fda29baae0f627c15f0f74712"),
        ("iterative", 0.5, "winning_ticket", "af9cbc73a9051ab2ed90b5baea127500"),
        ("iterative", 0.8, "winning_ticket", "fe5b36ffc7c8c57ec2e78b5d6d9f83f0"),
        ("iterative", 0.8, "reinit", "1d53c6af204fb81a005db220aa6a3c9b"),
        ("iterative", 0.8, "rewind", "69e536fef02fff10bec35937d2416c68"),
        ("iterative", 0.8, "finetune", "e1f9f94d8a88f9eecfecbd481c983c66"),
        ("oneshot", 0.5, "finetune", "3b98067ef181a89e767f02bb0c3bf16d"),
        ("oneshot", 0.8, "winning_ticket", "fdf262803dd0f2b5aea16110441c5dc3"),
        ("oneshot", 0.8, "reinit", "78d8b03f0e22bb8e071b72a42e571aa0"),
        ("random", 0.5, "rewind", "89094c2bf9c7bad3f12a9566a5c5b6e5"),
        ("random", 0.8, "finetune", "a6d48af8a78c5a5194e067f8872082ee"),
    ],
)
def test_fingerprints_are_those_of_the_first_version(
    pruner: str | None, sparsity: float, start: str, fingerprint: str
) -> None:
    assert of(pinned(), pruner, sparsity, start) == fingerprint


def test_rounds_of_a_rate_share_the_stages_of_a_study_that_lists_them_all() -> None:
    planned = pinned(pruners=["iterative"], sparsities=[0.386, 0.623, 0.803, 0.858], round_rate=0.15)
    assert of(planned, "iterative", 0.386, "finetune") == "f0e89abef8c927b1f9b3a18ff12215f6"
    assert of(planned, "iterative", 0.858, "winning_ticket") == "2c1dd14752bc6602eb3ab9fe46940122"


@pytest.mark.parametrize(
    ("sparsity", "start", "fingerprint"),
    [
        # All pruners by magnitude share the first round.
        (0.5, "winning_ticket", "af9cbc73a9051ab2ed90b5baea127500"),
        (0.8, "winning_ticket", "51ee3b959984b4a798903d3322d742be"),
        (0.8, "rewind", "cfbf413992040d80adc7ad93604c0065"),
        (0.8, "reinit", "dac5598ae60f82b455f08eff66db1d4b"),
    ],
)
def test_iterative_pruning_with_rewinding_has_fingerprints_of_its_own(
    sparsity: float, start: str, fingerprint: str
) -> None:
    assert of(pinned(pruners=["iterative_rewind"]), "iterative_rewind", sparsity, start) == fingerprint


@pytest.mark.parametrize(
    ("sparsity", "fingerprints"),
    [
        (
            0.5,
            {
                None: "420a7b9d9993cc5b6983d06cdc55fd96",
                "winning_ticket": "b7f6dc56b22a6e3492dc57b0d635f0bc",
                "reinit": "a2a43d9a30761324ec40a5d1bb81ae8d",
                "rewind": "5302ad7d79011c8e3f8d5cbce80f6d96",
                "finetune": "1eb480ead110cd9b382cc46fe16b7484",
            },
        ),
        (0.8, {None: "2f94f43b318862b920b8c22e531ee798"}),
    ],
)
def test_admm_with_constant_rho_has_the_fingerprints_that_admm_had(
    sparsity: float, fingerprints: dict[str | None, str]
) -> None:
    planned = pinned(pruners=["admm_constant"])
    assert fingerprints.items() <= below(planned, sparsity).items()


def test_settings_of_admm_with_constant_rho_change_its_fingerprints() -> None:
    planned = pinned(pruners=["admm_constant"], starts=["finetune"], admm={"rho": 0.05, "rounds": 4, "period": 2})
    assert below(planned, 0.5) == {
        None: "2e50454cbb8a33248b9534b4e4bad847",
        "finetune": "ac0ac816be83916cc08d2b8d7bb901ea",
    }
    assert below(planned, 0.8) == {
        None: "8bc5737d0fc1922edea3930d39ca2e7b",
        "finetune": "5a7ed06adbd6d9775045bb4fc212d9c8",
    }


def below(planned: Plan, sparsity: float) -> dict[str | None, str]:
    """Return the fingerprints of the stages at a sparsity by start; ADMM's own stage has the start None."""
    return {stage.start: f for f, stage in planned.stages.items() if stage.sparsity == sparsity}


def test_admm_with_growing_and_constant_rho_share_only_the_pretraining() -> None:
    growing, constant = (pinned(pruners=[name]).stages.keys() for name in ("admm", "admm_constant"))
    assert growing & constant == {of(pinned(), None, 0.0, "dense")}


def test_each_kind_of_admm_depends_on_its_own_settings_alone() -> None:
    def stages(**admm: float) -> dict[str, set[str]]:
        planned = pinned(pruners=["admm", "admm_constant"], admm=admm)
        roots = {key: stage for key, stage in planned.stages.items() if stage.kind == "admm"}
        return {
            name: {key for key, stage in roots.items() if stage.rho_grows == (name == "admm")}
            for name in ("admm", "admm_constant")
        }

    default, rho = stages(), stages(rho=0.05)
    assert rho["admm"] == default["admm"]
    assert not rho["admm_constant"] & default["admm_constant"]
    for changed in (stages(rho_start=0.01), stages(rho_end=0.02)):
        assert changed["admm_constant"] == default["admm_constant"]
        assert not changed["admm"] & default["admm"]


def test_a_stage_from_before_rho_could_grow_reads_as_one_with_constant_rho() -> None:
    [stage, *_] = [stage for stage in pinned(pruners=["admm_constant"]).stages.values() if stage.kind == "admm"]
    values = stage.model_dump(mode="json", exclude={"rho_grows": True, "admm": {"rho_start", "rho_end"}})
    assert "rho_grows" not in values
    assert Stage.model_validate(values).fingerprint == stage.fingerprint


def test_settings_of_the_recipe_and_limits_on_images_change_the_fingerprint() -> None:
    planned = pinned(networks=["resnet20"], train_images=100, test_images=50, recipe=OTHER_RECIPE, **DENSE_ONLY)
    assert list(planned.stages) == ["d8a73f8207c6f6c1c1a53b950e376189"]


def test_global_ranking_has_a_fingerprint_of_its_own() -> None:
    planned = pinned(pruners=["oneshot"], starts=["reinit"], scope="global")
    assert of(planned, "oneshot", 0.8, "reinit") == "3e745e3ceb643dfeff9e8508732fb940"


def test_the_demo_has_the_fingerprints_of_the_first_version() -> None:
    study = load_study(Path(__file__).parents[3] / "studies" / "demo.toml")
    stages = plan(study, {"digits": IDENTITY}).stages
    assert len(stages) == 126
    joined = "\n".join(sorted(stages)).encode()
    assert hashlib.sha256(joined).hexdigest()[:32] == "d2d699a5f9037cbdc1882485df922fbf"


class LaterRecipe(Recipe):
    nesterov: bool = False


class LaterStage(Stage):
    note: str | None = None


def test_an_added_field_changes_the_fingerprint_only_where_it_differs_from_its_default() -> None:
    stage = next(iter(pinned().stages.values()))
    values = stage.model_dump(exclude={"recipe"})
    recipe = stage.recipe.model_dump()
    assert LaterStage(**values, recipe=LaterRecipe(**recipe)).fingerprint == stage.fingerprint
    changed = {
        LaterStage(**values, recipe=LaterRecipe(**recipe, nesterov=True)).fingerprint,
        LaterStage(**values, recipe=LaterRecipe(**recipe), note="other").fingerprint,
    }
    assert len(changed | {stage.fingerprint}) == 3


def test_a_network_of_another_version_is_another_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pinned().stages
    monkeypatch.setitem(NETWORKS, "lenet300", Network("LeNet-300", "engine.models.networks:lenet300", version=2))
    after = pinned().stages
    assert not before.keys() & after.keys()
    assert {stage.code for stage in after.values()} == {(("network", "version 2"),)}

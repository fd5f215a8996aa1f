from collections import Counter

import pytest

from engine.study.plan import Plan, Stage, plan
from engine.study.spec import _trainings
from tests.engine.conftest import BUILT_IN_STARTS, plan_of, small_study


def kinds(planned: Plan) -> Counter:
    return Counter(stage.kind for stage in planned.stages.values())


def test_every_parent_comes_before_its_children() -> None:
    seen: set[str] = set()
    for fingerprint, stage in plan_of(small_study(pruners=["iterative", "oneshot", "admm", "random"])).stages.items():
        assert fingerprint == stage.fingerprint
        assert stage.parent is None or stage.parent in seen
        assert (stage.kind == "pretrain") == (stage.parent is None)
        seen.add(fingerprint)


def test_the_first_iterative_round_is_one_shot_pruning() -> None:
    both = plan_of(small_study(pruners=["iterative", "oneshot"]))
    # Each pruner has 4 starts at 2 sparsities; the pruners share the 4 at the first sparsity.
    assert kinds(both) == {"pretrain": 1, "retrain": 12}
    assert len(both.roles) == 1 + 16
    shared = Counter(role.fingerprint for role in both.roles)
    assert sorted(shared.values()) == [1] * 9 + [2] * 4


def test_admm_trains_once_for_each_sparsity_under_the_pretraining() -> None:
    planned = plan_of(small_study(pruners=["admm"]))
    assert kinds(planned) == {"pretrain": 1, "admm": 2, "retrain": 8}
    for stage in planned.stages.values():
        if stage.kind == "retrain":
            assert planned.stages[stage.parent].kind == "admm"
            assert planned.stages[stage.parent].sparsity == stage.sparsity


def test_iterative_rounds_are_made_from_the_trained_ticket() -> None:
    planned = plan_of(small_study(sparsities=[0.2, 0.5, 0.8]))
    for stage in planned.stages.values():
        if len(stage.rounds) > 1:
            parent = planned.stages[stage.parent]
            assert parent.start == "winning_ticket"
            assert parent.rounds == stage.rounds[:-1]


def test_iterative_pruning_without_the_ticket_still_trains_it_for_the_masks() -> None:
    planned = plan_of(small_study(starts=["finetune"], sparsities=[0.2, 0.5, 0.8]))
    assert kinds(planned) == {"pretrain": 1, "retrain": 5}
    assert {role.start for role in planned.roles} == {"dense", "finetune"}
    in_roles = {role.fingerprint for role in planned.roles}
    assert [s.start for f, s in planned.stages.items() if f not in in_roles] == ["winning_ticket"] * 2


def test_all_four_starts_hold_the_same_mask() -> None:
    planned = plan_of(small_study())
    made_from = {}
    for stage in planned.stages.values():
        if stage.kind == "retrain":
            made_from.setdefault(stage.rounds, set()).add((stage.parent, stage.score, stage.scope))
    assert all(len(sources) == 1 for sources in made_from.values())
    assert Counter(role.start for role in planned.roles) == {"dense": 1, **dict.fromkeys(BUILT_IN_STARTS, 2)}


def test_studies_that_overlap_share_their_stages() -> None:
    study = plan_of(small_study(seeds=[0, 1]))
    larger = plan_of(small_study(name="another", seeds=[1, 2], overlap_p=[0.2], sparsities=[0.5]))
    assert len(study.stages.keys() & larger.stages.keys()) == 1 + 4


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rates": [0.06]},
        {"seeds": [1]},
        {"networks": ["resnet20"]},
        {"train_images": 10},
        {"recipe": {"epochs": 4, "batch_size": 32, "augmentation": "none"}},
        {"recipe": {"epochs": 3, "batch_size": 32, "augmentation": "none", "weight_decay": 0.0}},
        {"recipe": {"epochs": 3, "batch_size": 32, "augmentation": "none", "rewind_epoch": 2}},
    ],
)
def test_settings_that_change_the_result_change_the_fingerprint(changes) -> None:
    assert not plan_of(small_study()).stages.keys() & plan_of(small_study(**changes)).stages.keys()


def test_fingerprints_depend_on_the_content_of_a_dataset_and_not_on_its_path() -> None:
    study, moved = small_study(datasets=["folder:/a"]), small_study(datasets=["folder:/b"])
    assert plan(study, {"folder:/a": "x"}).stages.keys() == plan(moved, {"folder:/b": "x"}).stages.keys()
    assert not plan(study, {"folder:/a": "x"}).stages.keys() & plan(study, {"folder:/a": "y"}).stages.keys()


def test_an_explicit_rewind_epoch_gives_the_same_stages_as_the_default() -> None:
    recipe = {"epochs": 3, "batch_size": 32, "augmentation": "none"}
    written = plan_of(small_study(recipe={**recipe, "rewind_epoch": 1}))
    assert written.stages.keys() == plan_of(small_study(recipe=recipe)).stages.keys()


def test_a_stage_survives_its_json_form() -> None:
    for fingerprint, stage in plan_of(small_study(pruners=["iterative", "admm"])).stages.items():
        assert Stage.model_validate_json(stage.model_dump_json()).fingerprint == fingerprint


def test_children_list_every_stage_but_the_roots_once() -> None:
    planned = plan_of(small_study(pruners=["iterative", "oneshot", "admm"]))
    named = Counter(child for children in planned.children.values() for child in children)
    assert set(named.values()) == {1}
    assert named.keys() == {f for f, s in planned.stages.items() if s.parent}


def test_a_dense_only_study_trains_pretrainings_alone() -> None:
    assert kinds(plan_of(small_study(starts=[], pruners=[], sparsities=[], seeds=[0, 1]))) == {"pretrain": 2}


def test_parts_train_their_combinations_and_share_equal_stages() -> None:
    part = {"starts": ["finetune"], "sparsities": [0.5]}
    dense = {"pruners": [], "sparsities": [], "starts": []}
    parted = plan_of(small_study(parts=[part, {"starts": ["finetune", "rewind"]}, dense]))
    whole = plan_of(small_study(starts=["finetune", "rewind"]))
    assert set(parted.roles) == set(whole.roles)
    assert len(set(parted.roles)) == len(parted.roles)
    assert parted.stages.keys() == whole.stages.keys()


def test_a_dense_part_prunes_nothing() -> None:
    parts = [
        {"learning_rates": [0.1], "pruners": [], "sparsities": [], "starts": []},
        {"learning_rates": [0.05], "starts": ["reinit"]},
    ]
    planned = plan_of(small_study(learning_rates=[0.05, 0.1], parts=parts))
    assert {stage.learning_rate for stage in planned.stages.values() if stage.kind == "retrain"} == {0.05}
    assert kinds(planned)["pretrain"] == 2


NAMED = [0.386, 0.623, 0.803, 0.858]
TWELVE = [round(1 - 0.85**i + 1e-9, 3) for i in range(1, 13)]


def test_a_rate_per_round_trains_the_rounds_in_between_without_roles() -> None:
    named = plan_of(small_study(sparsities=NAMED, round_rate=0.15))
    # There are 4 starts at 4 sparsities, and the ticket at the 8 rounds in between.
    assert kinds(named) == {"pretrain": 1, "retrain": 16 + 8}
    assert {role.sparsity for role in named.roles} == {0.0, *NAMED}
    in_roles = {role.fingerprint for role in named.roles}
    hidden = [stage for fingerprint, stage in named.stages.items() if fingerprint not in in_roles]
    assert {stage.start for stage in hidden} == {"winning_ticket"}
    assert {stage.sparsity for stage in hidden} == set(TWELVE) - set(NAMED)


def test_rounds_of_the_rate_share_the_stages_of_a_study_that_lists_them_all() -> None:
    named = plan_of(small_study(sparsities=NAMED, round_rate=0.15))
    listed = plan_of(small_study(sparsities=TWELVE))
    assert named.stages.keys() < listed.stages.keys()
    assert plan_of(small_study(sparsities=TWELVE, round_rate=0.15)).stages.keys() == listed.stages.keys()


def test_a_rate_per_round_does_not_change_pruners_without_rounds() -> None:
    pruners = ["oneshot", "admm", "random"]
    without = plan_of(small_study(sparsities=NAMED, pruners=pruners))
    assert (
        plan_of(small_study(sparsities=NAMED, pruners=pruners, round_rate=0.15)).stages.keys() == without.stages.keys()
    )


def test_rounds_are_those_of_the_sparsities_of_a_part() -> None:
    parts = [{"sparsities": [0.386]}, {"sparsities": [0.623], "seeds": [1]}]
    planned = plan_of(small_study(sparsities=NAMED, round_rate=0.15, seeds=[0, 1], starts=["reinit"], parts=parts))
    of = {seed: {s.sparsity for s in planned.stages.values() if s.seed == seed} for seed in (0, 1)}
    assert of[0] == {0.0, *TWELVE[:3]}
    assert of[1] == {0.0, *TWELVE[:6]}


def test_iterative_pruning_with_rewinding_makes_masks_from_rewound_trainings() -> None:
    planned = plan_of(small_study(pruners=["iterative_rewind"], sparsities=[0.2, 0.5, 0.8]))
    later = [stage for stage in planned.stages.values() if len(stage.rounds) > 1]
    assert len(later) == 8
    for stage in later:
        parent = planned.stages[stage.parent]
        assert (parent.start, parent.rounds) == ("rewind", stage.rounds[:-1])
    hidden = plan_of(small_study(pruners=["iterative_rewind"], starts=["reinit"], round_rate=0.3))
    in_roles = {role.fingerprint for role in hidden.roles}
    assert {s.start for f, s in hidden.stages.items() if f not in in_roles} == {"rewind"}


def test_the_first_round_is_shared_by_all_pruners_by_magnitude() -> None:
    three = plan_of(small_study(pruners=["iterative", "iterative_rewind", "oneshot"], sparsities=[0.5, 0.8]))
    shared = Counter(role.fingerprint for role in three.roles if role.sparsity == 0.5)
    assert sorted(shared.values()) == [3] * 4
    assert set(Counter(role.fingerprint for role in three.roles if role.sparsity == 0.8).values()) == {1}


@pytest.mark.parametrize("starts", [["winning_ticket"], ["reinit", "finetune"], list(BUILT_IN_STARTS)])
@pytest.mark.parametrize("pruners", [["iterative"], ["iterative", "iterative_rewind", "admm"]])
@pytest.mark.parametrize("rate", [None, 0.15, 0.02])
def test_the_limit_on_trainings_counts_the_rounds_in_between(starts, pruners, rate) -> None:
    study = small_study(starts=starts, pruners=pruners, sparsities=NAMED, round_rate=rate, seeds=[0, 1])
    assert len(plan_of(study).stages) <= _trainings(study, None)
    assert _trainings(study, None) <= 2 * len(plan_of(study).stages)

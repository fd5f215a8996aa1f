import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.counts import kept_count
from engine.masks import content_hash, magnitude_mask, sparsity
from engine.registry import PRUNERS, Score
from engine.stages.scores import SCORES, make_mask

SPARSITY = st.floats(0.0, 0.99)


def weights(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {"conv": torch.randn(6, 4, 3, 3, generator=draws), "linear": torch.randn(10, 24, generator=draws)}


@given(seed=st.integers(0, 999), s=SPARSITY)
@settings(max_examples=40, deadline=None)
def test_each_layer_keeps_exactly_its_share(seed: int, s: float) -> None:
    mask = magnitude_mask(weights(seed), s)
    for kept in mask.values():
        assert int(kept.sum()) == kept_count(s, kept.numel())


@given(seed=st.integers(0, 999), s=SPARSITY)
@settings(max_examples=40, deadline=None)
def test_all_layers_together_keep_exactly_their_share(seed: int, s: float) -> None:
    mask = magnitude_mask(weights(seed), s, scope="global")
    total = sum(kept.numel() for kept in mask.values())
    assert sum(int(kept.sum()) for kept in mask.values()) == kept_count(s, total)
    assert abs(sparsity(mask) - s) <= 0.5 / total + 1e-9


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_no_removed_weight_is_larger_than_a_kept_one(scope) -> None:
    w = weights(3)
    mask = magnitude_mask(w, 0.7, scope)
    groups = list(w) if scope == "layer" else [None]
    for group in groups:
        layers = [group] if group else list(w)
        kept = torch.cat([w[name][mask[name]].abs() for name in layers])
        gone = torch.cat([w[name][~mask[name]].abs() for name in layers])
        assert kept.min() >= gone.max()


@given(seed=st.integers(0, 999), scope=st.sampled_from(["layer", "global"]))
@settings(max_examples=30, deadline=None)
def test_masks_nest_though_the_weights_change_between_rounds(seed: int, scope) -> None:
    mask = None
    for round_, s in enumerate([0.15, 0.2775, 0.5, 0.9, 0.95]):
        before, mask = mask, magnitude_mask(weights(seed + round_), s, scope, within=mask)
        if before is not None:
            assert all(bool((before[name] | ~mask[name]).all()) for name in mask)
    assert sparsity(mask) == pytest.approx(0.95, abs=0.01)


def test_of_equal_magnitudes_the_first_are_kept() -> None:
    assert magnitude_mask({"w": torch.tensor([1.0, -1.0, 1.0, -1.0])}, 0.5)["w"].tolist() == [True, True, False, False]


def test_sparsity_zero_keeps_everything() -> None:
    assert sparsity(magnitude_mask(weights(0), 0.0)) == 0.0


@pytest.mark.parametrize("s", [1.0, 1.2, -0.1, float("nan")])
def test_a_sparsity_outside_its_range_is_refused(s: float) -> None:
    with pytest.raises(ValueError, match="allowed: from 0 up to, not including, 1"):
        magnitude_mask(weights(0), s)


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: layer, global"):
        magnitude_mask(weights(0), 0.5, scope="network")


def test_a_round_of_lower_sparsity_is_refused() -> None:
    with pytest.raises(ValueError, match="rising sparsities"):
        magnitude_mask(weights(0), 0.3, within=magnitude_mask(weights(0), 0.6))


def test_the_sparsity_of_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        sparsity({})


def test_every_pruner_names_a_score() -> None:
    assert {pruner.score for pruner in PRUNERS.values()} <= set(SCORES)


def scored(scores: dict[str, torch.Tensor], sparsity: float, scope: str, monkeypatch: pytest.MonkeyPatch):
    """Return the mask of given scores."""
    monkeypatch.setitem(SCORES, "given", Score(f"{__name__}:scored", version=1))
    monkeypatch.setattr("engine.stages.scores.resolve_name", lambda _: lambda layer, weights, seed: scores[layer])
    return make_mask("given", {name: torch.ones(4) for name in scores}, sparsity, scope, None, seed=0)


def test_scores_may_be_negative_and_the_first_of_equal_ones_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"a": torch.tensor([-3.0, 2.0, -1e-30, -1.0]), "b": torch.tensor([-5.0, -5.0, -5.0, -torch.inf])}
    layer = scored(scores, 0.5, "layer", monkeypatch)
    assert layer["a"].tolist() == [False, True, True, False]
    assert layer["b"].tolist() == [True, True, False, False]
    everywhere = scored(scores, 0.5, "global", monkeypatch)
    assert everywhere["a"].tolist() == [True] * 4
    assert everywhere["b"].tolist() == [False] * 4


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.tensor([1.0, torch.nan, 2.0, 3.0]), "given gives weights of a no number"),
        (torch.ones(3), r"scores of shape \(3,\); allowed: one for each weight, \(4,\)"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=message):
        scored({"a": scores}, 0.5, "layer", monkeypatch)


def test_random_pruning_depends_on_the_seed_and_not_on_the_weights() -> None:
    mask = make_mask("random", weights(1), 0.5, "layer", None, seed=4)
    same = make_mask("random", weights(2), 0.5, "layer", None, seed=4)
    other = make_mask("random", weights(1), 0.5, "layer", None, seed=5)
    assert all(torch.equal(mask[name], same[name]) for name in mask)
    assert not torch.equal(mask["linear"], other["linear"])
    assert sparsity(mask) == pytest.approx(0.5, abs=0.01)


def test_masks_share_a_hash_exactly_where_they_keep_the_same_weights() -> None:
    mask = {"a": torch.tensor([[True, False, True], [False, True, True]]), "b": torch.ones(9, dtype=torch.bool)}
    digest = content_hash(mask)
    assert re.fullmatch(r"[0-9a-f]{32}", digest)
    assert content_hash(dict(reversed(mask.items()))) == digest
    assert content_hash({name: tensor.to(torch.uint8) for name, tensor in mask.items()}) == digest
    assert content_hash({**mask, "a": mask["a"].T.contiguous().T}) == digest
    others = [{**mask, "a": mask["a"].view(3, 2)}, {"a": mask["a"], "c": mask["b"]}, {"a": mask["a"]}]
    for layer, tensor in mask.items():
        for place in range(tensor.numel()):
            flipped = tensor.clone().flatten()
            flipped[place] = ~flipped[place]
            others.append({**mask, layer: flipped.view(tensor.shape)})
    hashes = [content_hash(other) for other in others]
    assert digest not in hashes
    assert len(set(hashes)) == len(hashes)
    # The hash never changes, since masks of different machines are compared by it.
    assert content_hash({"w": torch.tensor([True, False, True])}) == "087da34a54858453f47a25adefae561c"

"""The tables of networks, scores, pruners and starts that a study can name, and where each is implemented."""

import json
from collections.abc import Callable
from typing import Literal

from engine import code
from engine.entries import Need, Network, Pruner, Score, Start, Table
from engine.network_table import NETWORKS

__all__ = ["NETWORKS", "PRUNERS", "SCORES", "STARTS", "Need", "Network", "Pruner", "Scope", "Score", "Start"]

# "layer" removes the smallest weights of each layer, "global" the smallest of all layers ranked together.
Scope = Literal["layer", "global"]

SCORES: Table[Score] = Table(
    {
        "magnitude": Score("engine.stages.scores:magnitude", version=1),
        "random": Score("engine.stages.scores:random", version=1),
    }
)

PRUNERS: Table[Pruner] = Table(
    {
        "iterative": Pruner(
            "iterative magnitude",
            "Rounds of training the winning ticket, removing the smallest weights that remain, and going back to the "
            "initial weights; all starts get the masks of these rounds, the rewind start too.",
            gradual=True,
            in_paper=True,
        ),
        "iterative_rewind": Pruner(
            "iterative with rewinding",
            "Iterative magnitude pruning whose rounds train from, and go back to, the rewind weights instead of the "
            "initial ones (Frankle et al. 2019 and 2020); its first round is that of iterative magnitude pruning.",
            gradual=True,
            resets_to="rewind",
        ),
        "oneshot": Pruner(
            "one-shot magnitude",
            "Removes the smallest of the pretrained weights at once.",
            in_paper=True,
        ),
        "admm": Pruner(
            "ADMM",
            "Trains the pretrained weights on towards a sparse set by the alternating direction method of multipliers "
            "(Zhang et al., ECCV 2018), then keeps the largest; the weight of its penalty, rho, grows from round to "
            "round, so that weights can still change places at first and meet the sparsity budget at last.",
            admm=True,
            in_paper=True,
        ),
        "admm_constant": Pruner(
            "ADMM, constant rho",
            "A control: ADMM with its largest rho from the first round on, under which few weights change places, "
            "often none; ADMM results recorded before rho could grow are listed under this name.",
            admm=True,
            constant_rho=True,
        ),
        "random": Pruner(
            "random",
            "A control: removes weights at random, whatever their size.",
            score="random",
        ),
    }
)

STARTS: Table[Start] = Table(
    {
        "winning_ticket": Start(
            "winning ticket",
            "engine.stages.starts:winning_ticket",
            "θ₀⊙m",
            "The initial weights themselves, under the mask; whether they deserve the name is what a study asks (see "
            "winning property).",
            "section 3 of the paper; Frankle & Carbin 2019",
            version=1,
        ),
        "reinit": Start(
            "random reinit",
            "engine.stages.starts:reinit",
            "θ₀′⊙m",
            "A fresh draw of the initialiser, independent of the initial weights, under the same mask as the winning "
            "ticket.",
            "appendix A of the paper",
            version=1,
        ),
        "rewind": Start(
            "rewind",
            "engine.stages.starts:rewind",
            "θₖ⊙m",
            "The weights of epoch k of the dense training, under the mask.",
            "appendix G of the paper; Frankle et al. 2019",
            version=1,
        ),
        "finetune": Start(
            "fine-tune",
            "engine.stages.starts:finetune",
            "θ_T⊙m",
            "The pretrained weights, under the mask.",
            'section 3 of the paper, which calls it "pruning & fine-tuning"',
            version=1,
        ),
    }
)


def network_title(name: str) -> str:
    """Return the title of a network; an unknown name is returned as it is."""
    return NETWORKS[name].title if name in NETWORKS else name


def pruner_title(name: str) -> str:
    """Return the title of a pruner; an unknown name is returned as it is."""
    return PRUNERS[name].title if name in PRUNERS else name


def known_pruner(name: str) -> Pruner:
    """Return a pruner; of an unknown name, such as a plugin that is gone added, one with no traits."""
    return PRUNERS[name] if name in PRUNERS else Pruner(name)


def start_title(name: str) -> str:
    """Return the title of a start; an unknown name, or that of dense networks, is returned as it is."""
    return STARTS[name].title if name in STARTS else name


def sums_movement(pruner: Pruner) -> bool:
    """Return whether the trainings that a pruner prunes sum up the movement of their weights for its score."""
    return "movement" in SCORES[pruner.score].needs


Identity = Callable[[str, int | None], str | None]
# The identity of each implementation of a stage by its role: "network", "score" or "start".
Implementations = tuple[tuple[str, str], ...]


def implementations(
    network: str, score: str | None, start: str | None, identity: Identity = code.identity
) -> Implementations:
    """Return the identities of the network, score and start that a stage names; one at version 1 has none.

    That of a score also names what it needs, that of a network without a version the arguments of its builder. Raises
    `engine.code.CodeError` where code without a version cannot be read, KeyError for a name that is in no table.
    """
    identities = [("network", network_identity(network, identity))]
    if score is not None:
        entry = SCORES[score]
        named = identity(entry.function, entry.version)
        needs = f"{named or 'version 1'} with {', '.join(sorted(entry.needs))}"
        identities.append(("score", needs if entry.needs else named))
    if start is not None:
        identities.append(("start", identity(STARTS[start].function, STARTS[start].version)))
    return tuple((role, name) for role, name in identities if name is not None)


def network_identity(name: str, identity: Identity = code.identity) -> str | None:
    """Return the identity of a network; raises as `implementations` does."""
    entry = NETWORKS[name]
    named = identity(entry.builder, entry.version)
    # The name of a network with a version says which arguments it has; they may change with the code.
    return f"{named} with {json.dumps(entry.arguments)}" if entry.version is None and entry.arguments else named


def load_added() -> None:
    """Import the code of all entries that have no version; see `engine.code.load`."""
    code.load((network.builder, network.version) for network in NETWORKS.values())
    code.load((score.function, score.version) for score in SCORES.values())
    code.load((start.function, start.version) for start in STARTS.values())

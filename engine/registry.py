"""NETWORKS, SCORES, PRUNERS and STARTS: what studies may name, what it is called, and where it is implemented."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine import code

# Whether the smallest weights of each layer are removed, or those of all layers ranked together.
Scope = Literal["layer", "global"]


@dataclass(frozen=True)
class Network:
    """A network.

    title: as the literature writes it. builder: module:function, from channels, image size in pixels and classes to a
    network; imported when one is first built. version: raised when equal settings give other numbers; None where the
    code itself counts (see `engine.code`).
    """

    title: str
    builder: str
    version: int | None = None


@dataclass(frozen=True)
class Score:
    """What pruners rank weights by.

    function: module:function, from a layer's name, its trained weights and the study's seed to one score of at least 0
    per weight. version: as of `Network`.
    """

    function: str
    version: int | None = None


@dataclass(frozen=True)
class Pruner:
    """How a pruner makes masks.

    score: name in SCORES. gradual: prune in rounds (see `engine.study.rounds`) and train between them; else prune
    theta_T once for each sparsity. resets_to: the start in STARTS that a gradual pruner trains in each round, and makes
    the mask of the next round from. admm: train with ADMM to the sparsity first, and score its weights; constant_rho:
    with the same rho in every round, else with one that grows. in_paper: whether the paper's claims are about it;
    verdicts on others are controls.
    """

    title: str
    score: str = "magnitude"
    gradual: bool = False
    resets_to: str = "winning_ticket"
    admm: bool = False
    constant_rho: bool = False
    in_paper: bool = False


@dataclass(frozen=True)
class Start:
    """Weights that a pruned network is trained from.

    title: as the literature writes it. function: module:function, from stage, dataset and the store of weights to
    parameters and buffers by name. version: as of `Network`.
    """

    title: str
    function: str
    version: int | None = None


NETWORKS: dict[str, Network] = {
    "resnet20": Network("ResNet-20", "engine.models.networks:resnet20", version=1),
    "vgg11": Network("VGG-11", "engine.models.networks:vgg11", version=1),
    "mobilenet_v2": Network("MobileNet-V2", "engine.models.networks:mobilenet_v2", version=1),
    "lenet300": Network("LeNet-300", "engine.models.networks:lenet300", version=1),
}

SCORES: dict[str, Score] = {
    "magnitude": Score("engine.scores:magnitude", version=1),
    "random": Score("engine.scores:random", version=1),
}

PRUNERS: dict[str, Pruner] = {
    "iterative": Pruner("iterative magnitude", gradual=True, in_paper=True),
    "iterative_rewind": Pruner("iterative with rewinding", gradual=True, resets_to="rewind"),
    "oneshot": Pruner("one-shot magnitude", in_paper=True),
    "admm": Pruner("ADMM", admm=True, in_paper=True),
    # A control: so large a rho from the first round on lets few weights change places, often none.
    "admm_constant": Pruner("ADMM, constant rho", admm=True, constant_rho=True),
    "random": Pruner("random", score="random"),
}

STARTS: dict[str, Start] = {
    "winning_ticket": Start("winning ticket", "engine.stages.starts:winning_ticket", version=1),
    "reinit": Start("random reinit", "engine.stages.starts:reinit", version=1),
    "rewind": Start("rewind", "engine.stages.starts:rewind", version=1),
    "finetune": Start("fine-tune", "engine.stages.starts:finetune", version=1),
}


def network_title(name: str) -> str:
    """Return how the literature writes a network's name; an unknown one is returned as it is."""
    return NETWORKS[name].title if name in NETWORKS else name


Identity = Callable[[str, int | None], str | None]
# By the role that an implementation plays in a stage: "network", "score" or "start", with its identity.
Implementations = tuple[tuple[str, str], ...]


def implementations(
    network: str, score: str | None, start: str | None, identity: Identity = code.identity
) -> Implementations:
    """Return the identities of what a stage names, without those that are at version 1.

    Raises `engine.code.CodeError` where code that counts cannot be read, KeyError for a name that is in no table.
    """
    found = [("network", identity(NETWORKS[network].builder, NETWORKS[network].version))]
    if score is not None:
        found.append(("score", identity(SCORES[score].function, SCORES[score].version)))
    if start is not None:
        found.append(("start", identity(STARTS[start].function, STARTS[start].version)))
    return tuple((role, name) for role, name in found if name is not None)


def load_added() -> None:
    """Import the code of all entries that are known by it; see `engine.code.load`."""
    code.load((entry.builder, entry.version) for entry in NETWORKS.values())
    code.load((score.function, score.version) for score in SCORES.values())
    code.load((start.function, start.version) for start in STARTS.values())

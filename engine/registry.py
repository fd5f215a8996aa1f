"""The tables of networks, scores, pruners and starts that a study can name, and where each is implemented."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine import code

# "layer" removes the smallest weights of each layer, "global" the smallest of all layers ranked together.
Scope = Literal["layer", "global"]
# What a score may use beside the trained weights: "initial" is theta_0, "movement" the sum of -w * dL/dw over all steps
# of the training that is pruned, where L is the loss of a batch.
Need = Literal["initial", "movement"]


@dataclass(frozen=True)
class Network:
    """A network.

    title: its name in the literature. builder: module:function, from channels, image size in pixels and classes to a
    network; imported when one is first built. about: one sentence for the Glossary and the New study form. version:
    raised when equal settings give other numbers; None where a hash of the code counts instead (see `engine.code`).
    """

    title: str
    builder: str
    about: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Score:
    """What pruners rank weights by.

    function: module:function, from a layer's name, its trained weights and the study's seed to one score per weight;
    see `engine.scores`. version: as in `Network`. needs: what else it gets, as keyword arguments. With "movement", the
    training that is pruned sums it up; a pretraining that does is a stage of its own beside the dense one.
    """

    function: str
    version: int | None = None
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Pruner:
    """How a pruner makes masks.

    about: as in `Network`. score: name in SCORES. gradual: prune in rounds (see `engine.study.rounds`) and train
    between them; else prune theta_T once for each sparsity. resets_to: the start in STARTS that a gradual pruner trains
    in each round, and makes the next round's mask from. admm: train with ADMM to the sparsity first, and score the
    weights that result; constant_rho: ADMM's rho is the same in every round, else it grows. in_paper: the paper's
    claims are about this pruner; verdicts on other pruners are controls.
    """

    title: str
    about: str = ""
    score: str = "magnitude"
    gradual: bool = False
    resets_to: str = "winning_ticket"
    admm: bool = False
    constant_rho: bool = False
    in_paper: bool = False


@dataclass(frozen=True)
class Start:
    """Weights that a pruned network is trained from.

    title: its name in the literature. function: module:function, from stage, dataset and `Weights` to parameters and
    buffers by name. symbol: the paper's. about: one sentence on which weights it uses, for the Glossary and the New
    study form. origin: where it comes from, such as a section of the paper. version: as in `Network`.
    """

    title: str
    function: str
    symbol: str = ""
    about: str = ""
    origin: str = ""
    version: int | None = None


NETWORKS: dict[str, Network] = {
    "resnet20": Network(
        "ResNet-20",
        "engine.models.networks:resnet20",
        "The residual network of 20 layers for small images by He et al. (2016).",
        version=1,
    ),
    "vgg11": Network(
        "VGG-11",
        "engine.models.networks:vgg11",
        "Eight convolutions with batch norm and one linear layer, after Simonyan and Zisserman (2015).",
        version=1,
    ),
    "mobilenet_v2": Network(
        "MobileNet-V2",
        "engine.models.networks:mobilenet_v2",
        "Inverted residual blocks with depthwise convolutions by Sandler et al. (2018), fitted to small images.",
        version=1,
    ),
    "lenet300": Network(
        "LeNet-300",
        "engine.models.networks:lenet300",
        "Two hidden linear layers of 300 and 100 units by LeCun et al. (1998).",
        version=1,
    ),
}

SCORES: dict[str, Score] = {
    "magnitude": Score("engine.scores:magnitude", version=1),
    "random": Score("engine.scores:random", version=1),
}

PRUNERS: dict[str, Pruner] = {
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
        "(Zhang et al., ECCV 2018), then keeps the largest; the weight of its penalty, rho, grows from round to round, "
        "so that weights can still change places at first and meet the sparsity budget at last.",
        admm=True,
        in_paper=True,
    ),
    "admm_constant": Pruner(
        "ADMM, constant rho",
        "A control: ADMM with its largest rho from the first round on, under which few weights change places, often "
        "none; ADMM results recorded before rho could grow are listed under this name.",
        admm=True,
        constant_rho=True,
    ),
    "random": Pruner(
        "random",
        "A control: removes weights at random, whatever their size.",
        score="random",
    ),
}

STARTS: dict[str, Start] = {
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


def network_title(name: str) -> str:
    """Return the title of a network; an unknown name is returned as it is."""
    return NETWORKS[name].title if name in NETWORKS else name


def pruner_title(name: str) -> str:
    """Return the title of a pruner; an unknown name is returned as it is."""
    return PRUNERS[name].title if name in PRUNERS else name


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

    That of a score also names what it needs.

    Raises `engine.code.CodeError` where code without a version cannot be read, KeyError for a name that is in no table.
    """
    identities = [("network", identity(NETWORKS[network].builder, NETWORKS[network].version))]
    if score is not None:
        entry = SCORES[score]
        named = identity(entry.function, entry.version)
        needs = f"{named or 'version 1'} with {', '.join(sorted(entry.needs))}"
        identities.append(("score", needs if entry.needs else named))
    if start is not None:
        identities.append(("start", identity(STARTS[start].function, STARTS[start].version)))
    return tuple((role, name) for role, name in identities if name is not None)


def load_added() -> None:
    """Import the code of all entries that have no version; see `engine.code.load`."""
    code.load((network.builder, network.version) for network in NETWORKS.values())
    code.load((score.function, score.version) for score in SCORES.values())
    code.load((start.function, start.version) for start in STARTS.values())

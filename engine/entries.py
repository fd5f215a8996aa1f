"""The kinds of entries that a study can name, and the tables that hold them by name."""

from collections import UserDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from engine import code

# What a score may use beside the trained weights: "initial" is theta_0, "movement" the sum of -w * dL/dw over all steps
# of the training that is pruned, where L is the loss of a batch.
Need = Literal["initial", "movement"]
NEEDS: tuple[Need, ...] = ("initial", "movement")

Entry = TypeVar("Entry")


class Code:
    """A field of an entry that names code as module:name; it may be set to the function itself.

    Setting it raises `engine.code.CodeError` for a function that other processes cannot import.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, entry: object, owner: type | None = None) -> str:
        """Return module:name."""
        if entry is None:
            # A dataclass takes what its class answers here for a default, and there is none.
            raise AttributeError(self._name)
        return str(getattr(entry, self._name))

    def __set__(self, entry: object, value: str | Callable[..., object]) -> None:
        # Entries are frozen, and this is how a frozen dataclass sets its fields.
        object.__setattr__(entry, self._name, code.where(value))


@dataclass(frozen=True)
class Network:
    """A network.

    title: its name in the literature. builder: a function, or module:function, from channels, image size in pixels,
    classes and the `arguments` to a network. about: one sentence for the Glossary and the New study form. version:
    raised when equal settings give other numbers; None where a hash of the code counts instead (see `engine.code`).
    arguments: texts, whole numbers or flags, so that one function builds a family of networks.
    """

    title: str
    builder: Code = Code()
    about: str = ""
    version: int | None = None
    arguments: tuple[str | int | bool, ...] = ()


@dataclass(frozen=True)
class Score:
    """What pruners rank weights by.

    function: a function, or module:function, from a layer's name, its trained weights and the study's seed to one score
    per weight; see `engine.stages.scores`. version: as in `Network`. needs: what else it gets, as keyword arguments.
    With "movement", the training that is pruned sums it up; a pretraining that does is a stage of its own beside the
    dense one.
    """

    function: Code = Code()
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

    title: its name in the literature. function: a function, or module:function, from stage, dataset and `Weights` to
    parameters and buffers by name. symbol: the paper's. about: one sentence on which weights it uses, for the Glossary
    and the New study form. origin: where it comes from, such as a section of the paper. version: as in `Network`.
    """

    title: str
    function: Code = Code()
    symbol: str = ""
    about: str = ""
    origin: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Family(Generic[Entry]):
    """Entries whose names follow a pattern.

    pattern: the names as people read them, such as wide_resnet<depth>_<width>. limits: what may stand in it, or an
    example, for messages. title, about: as in `Network`. find: returns the entry of a name, None for a name that is not
    of the family. names: all names, or some of many, which messages suggest.
    """

    pattern: str
    limits: str
    title: str
    about: str
    find: Callable[[str], Entry | None]
    names: tuple[str, ...]


class Table(UserDict[str, Entry]):
    """Entries by name, such as NETWORKS; families answer for further names, which an iteration leaves out.

    changes: called with each name that is set or deleted, if it is not None.
    """

    def __init__(self, entries: Mapping[str, Entry], families: Iterable[Family[Entry]] = ()) -> None:
        self.families = tuple(families)
        self.changes: Callable[[str], None] | None = None
        super().__init__(entries)

    def __missing__(self, name: str) -> Entry:
        """Return the entry that a family has under a name; KeyError if none has one."""
        entry = self._in_family(name)
        if entry is None:
            raise KeyError(name)
        return entry

    def __contains__(self, name: object) -> bool:
        """Return whether there is an entry of a name, in the table or in a family."""
        return name in self.data or (isinstance(name, str) and self._in_family(name) is not None)

    def __setitem__(self, name: str, entry: Entry) -> None:
        if self.changes is not None:
            self.changes(name)
        super().__setitem__(name, entry)

    def __delitem__(self, name: str) -> None:
        if self.changes is not None:
            self.changes(name)
        super().__delitem__(name)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The names of the entries and the patterns of the families with their limits, for messages."""
        return (*sorted(self.data), *(f"{family.pattern} ({family.limits})" for family in self.families))

    @property
    def suggestions(self) -> tuple[str, ...]:
        """The names that a message may suggest in place of a wrong one."""
        return (*self.data, *(name for family in self.families for name in family.names))

    def _in_family(self, name: str) -> Entry | None:
        return next((entry for family in self.families if (entry := family.find(name)) is not None), None)

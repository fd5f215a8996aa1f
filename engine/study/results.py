"""The result of a stage, and its form as JSON."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.counts import Count


@dataclass(frozen=True)
class Epoch:
    """One epoch: epoch counts from 1, accuracies are percent, losses mean cross-entropy in nats, seconds wall-clock."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Overlap:
    """How the largest weights of one pair of networks coincide, for every layer and p.

    pair: initial_pretrained for R_p(theta_0, theta_T); ticket_finetuned and reinit_finetuned for theta_0*m and
    theta_0'*m against (theta_T*m)_T; finetuned_initial and finetuned_pretrained for (theta_T*m)_T against theta_0 and
    theta_T. counts: one per layer and p (see `engine.counts.Count`); those of the pairs AGAINST_DENSE have expected
    intersections, except in older results.
    """

    pair: str
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class Retained:
    """The overlap of the weights after an epoch with the initial ones, over all prunable layers.

    intersection: weights among the largest p of both; top: weights in each set. R_p(theta_0, theta_t) is their ratio.
    """

    epoch: int
    p: float
    intersection: int
    top: int


@dataclass(frozen=True)
class Support:
    """ADMM's mask compared with the mask of one-shot pruning of theta_T at the same sparsity and scope.

    kept: weights that ADMM's mask keeps. moved: those of them that one-shot pruning removes. accuracy,
    oneshot_accuracy: test accuracy, in percent, of ADMM's weights and of theta_T under these masks, without training.
    """

    kept: int
    moved: int
    accuracy: float
    oneshot_accuracy: float

    @property
    def fraction(self) -> float:
        """The fraction of the kept weights that moved; NaN for an empty mask."""
        return self.moved / self.kept if self.kept else math.nan


@dataclass(frozen=True)
class Origin:
    """Where a result comes from that was not trained here but imported.

    lab: what its exporter calls the place of the training, "" without a name. worker, host, device: what trained it;
    started_at, finished_at: when; imported_at: when it was imported. Times are UTC in ISO format, and whatever is not
    recorded is None.
    """

    lab: str = ""
    worker: str | None = None
    host: str | None = None
    device: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    imported_at: str | None = None


PAIRS = ("initial_pretrained", "ticket_finetuned", "reinit_finetuned", "finetuned_initial", "finetuned_pretrained")
# In these pairs of a pruned and a dense network, the mask alone gives an overlap above p.
AGAINST_DENSE = ("finetuned_initial", "finetuned_pretrained")


@dataclass(frozen=True)
class StageResult:
    """All that a stage measured.

    epochs: in order. sparsity: the fraction of prunable weights that are 0. residuals: ADMM's |W - Z| / |W| after each
    round. seconds: time spent training and measuring, without interruptions. device: in words. retention: of a
    pretraining, R_p(theta_0, theta_t) at a few epochs t for every p. diverged: the epoch, from 1, after which a loss
    was no longer finite; 0 if training could not begin because the parent diverged; else None. A stage that diverged
    has the finite epochs before, perhaps none, and neither measurements nor weights.
    mask: of a retraining, `engine.masks.content_hash` of its mask; None for other stages and in older results.
    support: of ADMM; None for other stages and in older results. origin: of an imported result; None for others.
    """

    fingerprint: str
    epochs: tuple[Epoch, ...]
    sparsity: float
    seconds: float
    device: str
    overlaps: tuple[Overlap, ...] = ()
    residuals: tuple[float, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    retention: tuple[Retained, ...] = ()
    diverged: int | None = None
    mask: str | None = None
    support: Support | None = None
    origin: Origin | None = None

    @property
    def final(self) -> Epoch:
        """The last epoch; IndexError without any."""
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """The epoch of highest test accuracy, the first among equals; ValueError without any."""
        return max(self.epochs, key=lambda epoch: (epoch.test_accuracy, -epoch.epoch))

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values, with overlaps by column, which takes less space."""
        return {
            "fingerprint": self.fingerprint,
            "epochs": [list(vars(epoch).values()) for epoch in self.epochs],
            "sparsity": self.sparsity,
            "seconds": self.seconds,
            "device": self.device,
            "overlaps": [_columns(overlap) for overlap in self.overlaps],
            "residuals": list(self.residuals),
            "versions": self.versions,
            "retention": [list(vars(row).values()) for row in self.retention],
            "diverged": self.diverged,
            "mask": self.mask,
            "support": None if self.support is None else asdict(self.support),
            **({} if self.origin is None else {"origin": asdict(self.origin)}),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "StageResult":
        """Return the result that `to_json` wrote; KeyError or TypeError for other values."""
        return cls(
            fingerprint=values["fingerprint"],
            epochs=tuple(Epoch(*row) for row in values["epochs"]),
            sparsity=values["sparsity"],
            seconds=values["seconds"],
            device=values["device"],
            overlaps=tuple(
                Overlap(columns["pair"], tuple(Count(*row) for row in zip(*columns["counts"], strict=True)))
                for columns in values["overlaps"]
            ),
            residuals=tuple(values["residuals"]),
            versions=values["versions"],
            # Older results lack the following fields.
            retention=tuple(Retained(*row) for row in values.get("retention", ())),
            diverged=values.get("diverged"),
            mask=values.get("mask"),
            support=None if values.get("support") is None else Support(**values["support"]),
            origin=None if values.get("origin") is None else Origin(**values["origin"]),
        )


def _columns(overlap: Overlap) -> dict[str, Any]:
    rows: list[tuple[Any, ...]] = [(c.layer, c.p, c.intersection, c.top, c.size) for c in overlap.counts]
    if all(c.expected is not None for c in overlap.counts):
        rows = [(*row, c.expected) for row, c in zip(rows, overlap.counts, strict=True)]
    return {"pair": overlap.pair, "counts": [list(column) for column in zip(*rows, strict=True)]}

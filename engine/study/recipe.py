"""The recipe of a study's trainings and the settings of ADMM, as frozen, validated models."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from engine.registry import known_pruner
from engine.study.fields import ascending, costs

# Pixels of border around an image before it is cropped at random.
PADDING = 4
# The paper rewinds to epoch 10 of 150 (appendix G); trainings of other lengths use the same proportion.
PAPER_EPOCHS = 150
PAPER_REWIND = 10


class Frozen(BaseModel):
    """A settings model that never changes and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Recipe(Frozen):
    """How every training of a study runs; the defaults are the paper's (appendix, first paragraph)."""

    epochs: int = Field(
        PAPER_EPOCHS,
        ge=1,
        le=10_000,
        description="T, epochs per training: 1 to 10,000",
        json_schema_extra=costs("the time of a training grows with it"),
    )
    batch_size: int = Field(
        128,
        ge=1,
        le=65_536,
        description="images per step: 1 to 65,536",
        json_schema_extra=costs("a small one takes more time, a large one more memory"),
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum: from 0 up to, not including, 1")
    weight_decay: float = Field(
        5e-4, ge=0, le=1, description="L2 weight decay on all parameters: 0 to 1 (the paper does not state its own)"
    )
    milestones: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(ascending)] = Field(
        (80 / 150, 120 / 150),
        description="fractions of T at which the learning rate drops, increasing, each in (0, 1)",
    )
    decay: float = Field(0.1, gt=0, le=1, description="factor on the learning rate at a milestone: above 0, at most 1")
    augmentation: Literal["crop_flip", "crop", "flip", "none"] = Field(
        "crop_flip", description=f"random crop (padding {PADDING}) and horizontal flip: crop_flip, crop, flip or none"
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        description="fp32, bf16 autocast, or auto: bf16 where the workers' hardware computes in it, else fp32",
        json_schema_extra=costs("bf16 takes less time where the hardware computes in it"),
    )
    rewind_epoch: int | None = Field(
        None,
        ge=1,
        description="k of the rewind start: 1 to T; left out, 10/150 of T",
        json_schema_extra=costs("nothing; another k is another pretraining"),
    )

    @model_validator(mode="after")
    def _rewind_within(self) -> "Recipe":
        if self.rewind_epoch is not None and self.rewind_epoch > self.epochs:
            raise ValueError(f"rewind_epoch {self.rewind_epoch} lies after the last epoch; allowed: 1 to {self.epochs}")
        return self

    @property
    def k(self) -> int:
        """The epoch whose weights the rewind start takes (paper, appendix G: 10 of 150)."""
        return self.rewind_epoch or max(1, round(self.epochs * PAPER_REWIND / PAPER_EPOCHS))

    def learning_rate(self, initial: float, epoch: int, epochs: int) -> float:
        """Return the learning rate of an epoch, counted from 0, of a training over some number of epochs."""
        passed = sum(epoch >= drop for drop in self.drops(epochs))
        return initial * math.pow(self.decay, passed)

    def drops(self, epochs: int) -> tuple[int, ...]:
        """Return for each milestone the epochs trained before the learning rate drops, of a training over `epochs`."""
        return tuple(round(fraction * epochs) for fraction in self.milestones)


class Admm(Frozen):
    """Settings of ADMM pruning (Zhang et al., ECCV 2018), which the paper leaves open.

    rho is the weight of the penalty |W - Z|^2 at the initial learning rate. It grows by a constant factor per round,
    from rho_start to rho_end, so that at first the largest weights can change and at the end W meets Z. An automatic
    rho_end, which is also the automatic rho, is just large enough for the steps of one round to bring the weights to Z
    if there were no loss.
    """

    rho_start: float | None = Field(
        None,
        gt=0,
        le=10,
        description="rho of the first round, from where it grows by a constant factor per round: above 0, at most 10 "
        "and at most rho_end; left out, automatic: a hundredth of rho_end",
    )
    rho_end: float | None = Field(
        None,
        gt=0,
        le=10,
        description="rho of the last round: above 0, at most 10; left out, automatic: so large that the steps of one "
        "round bring the weights to Z, loss aside, and at least rho_start",
    )
    rho: float | None = Field(
        None,
        gt=0,
        le=10,
        description="rho of every round of admm_constant: above 0, at most 10; left out, automatic: as large as the "
        "automatic rho_end",
    )
    rounds: int = Field(
        10,
        ge=1,
        le=1_000,
        description="updates of Z and U: 1 to 1,000",
        json_schema_extra=costs("an ADMM training has rounds x period epochs"),
    )
    period: int = Field(
        3,
        ge=1,
        le=1_000,
        description="epochs between two updates of Z: 1 to 1,000",
        json_schema_extra=costs("an ADMM training has rounds x period epochs"),
    )

    @model_validator(mode="after")
    def _rising(self) -> "Admm":
        if self.rho_start is not None and self.rho_end is not None and self.rho_start > self.rho_end:
            raise ValueError(
                f"rho_start {self.rho_start:g} is above rho_end {self.rho_end:g}; allowed: at most rho_end, since rho "
                "grows from round to round. Lower rho_start, or leave one of the two out, which makes it automatic"
            )
        return self

    @property
    def epochs(self) -> int:
        """The number of epochs of an ADMM stage."""
        return self.rounds * self.period

    def used_by(self, pruners: Iterable[str]) -> "Admm":
        """Return these settings without the values of rho that none of the pruners uses."""
        kinds = {pruner.constant_rho for pruner in map(known_pruner, pruners) if pruner.admm}
        unused = [*(["rho"] if True not in kinds else []), *(["rho_start", "rho_end"] if False not in kinds else [])]
        return self.model_copy(update=dict.fromkeys(unused))


@dataclass(frozen=True)
class Schedule:
    """A training's recipe, initial learning rate and number of epochs, and the seed and purpose of its data order."""

    recipe: Recipe
    learning_rate: float
    epochs: int
    seed: int
    purpose: str

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.recipe.learning_rate(self.learning_rate, epoch, self.epochs)

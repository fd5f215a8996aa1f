"""The paper's claims, as a study's own runs can be held against them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One claim: what it says, where the paper makes it, and what runs it takes."""

    id: str
    text: str
    where: str
    needs: str


_CLAIMS = (
    Claim(
        "A1",
        "At the low learning rate, the winning ticket beats random reinit across sparsities.",
        "figure 1; main text, figure 2",
        "winning ticket and random reinit at the low rate",
    ),
    Claim(
        "A2",
        "At the high learning rate, winning ticket and random reinit do not differ.",
        "figure 1; main text, figure 2",
        "winning ticket and random reinit at the high rate",
    ),
    Claim(
        "A3",
        "The dense network is more accurate at the high learning rate than at the low one.",
        "figure 1; the accuracies that the text states",
        "dense networks at two learning rates",
    ),
    Claim(
        "A4",
        "The winning property (the ticket matches dense and beats reinit) is there at the low learning rate only.",
        "figure 1",
        "dense, winning ticket and random reinit at two learning rates",
    ),
    Claim(
        "B1",
        "The overlap of initial and trained dense weights is well above p at the low learning rate and about p at the "
        "high one.",
        "figure 2; main text, figure 4",
        "dense networks at two learning rates",
    ),
    Claim(
        "C1",
        "Fine-tuning stays close to or above dense at the same learning rate.",
        "figure 3; main text, figure 5",
        "dense and fine-tune",
    ),
    Claim(
        "D1",
        "At the low learning rate, the ticket's weights overlap the fine-tuned ones more than a reinit's; at the high "
        "rate, both overlap them about as chance does.",
        "figures 4 to 6; main text, figure 5",
        "fine-tune at two learning rates",
    ),
    Claim(
        "E1",
        "At the high learning rate, fine-tuning beats winning ticket and random reinit under every pruner.",
        "figures 7 to 10; main text, figure 6",
        "fine-tune, winning ticket and random reinit at the high rate",
    ),
    Claim(
        "E2",
        "At the high learning rate, ADMM is at least as accurate as iterative pruning, and that as one-shot pruning, "
        "for fine-tuning and for winning tickets.",
        "figures 11 and 12; main text, figure 7",
        "fine-tune and winning ticket under ADMM, iterative and one-shot pruning",
    ),
    Claim(
        "E3",
        "At the high learning rate, fine-tuning under ADMM matches dense up to the highest sparsity of the pruners.",
        "figures 7 to 12",
        "dense, and fine-tune under ADMM and another pruner",
    ),
    Claim(
        "F1",
        "The fine-tuned network overlaps the trained dense weights far above p, and the initial weights only about p.",
        "table 1",
        "fine-tune at the high rate and a sparsity of at most 1 - p",
    ),
    Claim(
        "G1",
        "At the high learning rate, fine-tune is more accurate than rewind, and rewind than the winning ticket.",
        "figure 13",
        "fine-tune, rewind and winning ticket at the high rate",
    ),
)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _CLAIMS}

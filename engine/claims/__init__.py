"""The paper's claims and what runs say of them: verdicts with effect, interval and n."""

from engine.claims.catalog import CLAIMS, Claim, elsewhere, evaluate, rates, winning_property
from engine.claims.evidence import OverlapPoint, Point
from engine.claims.power import Need, need
from engine.claims.questions import Thresholds
from engine.claims.verdict import OUTCOMES, Outcome, Verdict

__all__ = [
    "CLAIMS",
    "OUTCOMES",
    "Claim",
    "Need",
    "Outcome",
    "OverlapPoint",
    "Point",
    "Thresholds",
    "Verdict",
    "elsewhere",
    "evaluate",
    "need",
    "rates",
    "winning_property",
]

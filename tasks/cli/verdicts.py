"""What the command `verdicts` prints: verdicts on the paper's claims, as a table or as JSON."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from data.database.database import Database
from data.queries.evidence import evidence
from engine.claims import CLAIMS, OUTCOMES, Verdict, elsewhere, evaluate, need

_COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow", "missing": "dim"}
_NAMES = {"missing": "runs missing"}


def verdicts_of(database: Database, study_id: str) -> tuple[Verdict, ...]:
    """Return the verdicts on a study's runs, those at other learning rates last; raises UnknownStudy."""
    found = evidence(database, study_id)
    return (*evaluate(*found), *elsewhere(*found))


def table(verdicts: tuple[Verdict, ...]) -> Table:
    """Return verdicts as a table with controls and other learning rates last; each row says what would decide it.

    The title counts the verdicts on the claims alone.
    """
    result = Table("claim", "verdict", "about", "why, and what would decide it", title_justify="left", show_lines=True)
    for verdict in sorted(verdicts, key=lambda verdict: (verdict.at_another_rate, verdict.control)):
        name = _NAMES.get(verdict.outcome, verdict.outcome)
        needed = need(verdict)
        why = escape(verdict.reason) + (f"\n[dim]{escape(needed.sentence)}[/dim]" if needed else "")
        kinds = ["control"] * verdict.control + ["at another learning rate"] * verdict.at_another_rate
        about = "\n".join([escape(verdict.place), *(f"[dim]{kind}[/dim]" for kind in kinds)])
        result.add_row(verdict.claim, f"[{_COLOURS[verdict.outcome]}]{name}[/]", about, why)
    on_claims = [verdict for verdict in verdicts if not (verdict.control or verdict.at_another_rate)]
    counts = {outcome: sum(verdict.outcome == outcome for verdict in on_claims) for outcome in OUTCOMES}
    result.title = ", ".join(f"{count} {_NAMES.get(outcome, outcome)}" for outcome, count in counts.items() if count)
    return result


def values(verdicts: tuple[Verdict, ...]) -> list[dict[str, Any]]:
    """Return verdicts as values for JSON."""
    return [
        {
            "claim": verdict.claim,
            "text": CLAIMS[verdict.claim].text,
            "scope": dict(verdict.scope),
            "verdict": verdict.outcome,
            "control": verdict.control,
            "at_another_rate": verdict.at_another_rate,
            "effect": verdict.effect,
            "low": verdict.low,
            "high": verdict.high,
            "confidence": round(verdict.level, 4),
            "unit": verdict.unit,
            "n": verdict.n,
            "reason": verdict.reason,
            "seeds_needed": None if (needed := need(verdict)) is None else needed.seeds,
            "needs": "" if needed is None else needed.sentence,
        }
        for verdict in verdicts
    ]

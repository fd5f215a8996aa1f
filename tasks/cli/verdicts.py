"""What the command `verdicts` prints: verdicts on the paper's claims, as a table or as JSON."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from data.database.database import Database
from data.queries.evidence import evidence
from engine.claims import CLAIMS, OUTCOMES, Verdict, evaluate, need

_COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow", "missing": "dim"}
_NAMES = {"missing": "runs missing"}


def verdicts_of(database: Database, study_id: str) -> tuple[Verdict, ...]:
    """Return the verdicts on a study's runs; raises UnknownStudy."""
    return evaluate(*evidence(database, study_id))


def table(verdicts: tuple[Verdict, ...]) -> Table:
    """Return verdicts as a table with controls last; each row says what would decide the verdict."""
    result = Table("claim", "verdict", "about", "why, and what would decide it", title_justify="left", show_lines=True)
    for verdict in sorted(verdicts, key=lambda verdict: verdict.control):
        name = _NAMES.get(verdict.outcome, verdict.outcome)
        needed = need(verdict)
        why = escape(verdict.reason) + (f"\n[dim]{escape(needed.sentence)}[/dim]" if needed else "")
        about = escape(verdict.place) + ("\n[dim]control[/dim]" if verdict.control else "")
        result.add_row(verdict.claim, f"[{_COLOURS[verdict.outcome]}]{name}[/]", about, why)
    counts = {o: sum(v.outcome == o and not v.control for v in verdicts) for o in OUTCOMES}
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

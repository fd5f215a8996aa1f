"""A study's report: one HTML file that needs no other file and no network."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app import words
from app.answer.answers import TELLING, answers, at_words, summed_up
from app.charts import accuracy, ancestors, retention
from app.charts.accuracy import MEASURES
from app.charts.chart import Chart
from app.charts.forest import LEGEND
from app.charts.palette import SCRIPT, legend, ramp
from app.charts.picture import VEGA_LITE, Legend, theme
from app.charts.points import head, in_words, near_p
from app.components import divergence, same_masks, support_table, verdict_tables
from app.export import facts
from app.export.charts import MEASURE, Place, places
from data.database.database import Database
from data.queries import results, studies
from data.queries.studies import StudyRecord
from data.viewers import local_name
from engine.claims import CLAIMS, Thresholds, Verdict, winning_property
from engine.paper import citation
from engine.study.spec import Study
from tasks.studies.planning import number_of_test_images

FOLDER = Path(__file__).with_name("templates")
COMMAND = "ticketscope run study.toml --out DIR"


@dataclass(frozen=True)
class Line:
    """One verdict on a claim.

    outcome: empty for a line that sums up several. where: its scope without dataset and network. needs: the seeds that
    would decide it. comparisons: its numbers.
    """

    outcome: str
    where: str
    reason: str
    needs: str
    comparisons: pd.DataFrame


@dataclass(frozen=True)
class Card:
    """A claim of the paper, its place in the paper, the verdicts on it and their rules."""

    claim: str
    text: str
    where: str
    lines: list[Line]
    rules: list[str]


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one dataset and network.

    counts: the number of each outcome in words. cards: the claims with numbers; controls: the same for pruners without
    a claim in the paper. missing: the claims that lack runs, each with its reason. winning: the winning property by
    learning rate, pruner and sparsity; without rows where no run bears on it. widened: why claim A4 has wider intervals
    than this table. by_chance: how many verdicts may be wrong by chance.
    """

    counts: dict[str, str]
    cards: list[Card]
    controls: list[Card]
    missing: list[tuple[str, str]]
    winning: pd.DataFrame
    widened: str
    by_chance: str


@dataclass(frozen=True)
class PlaceReport:
    """The content of a report for one dataset and network.

    answers: the sentences; at: their pruner and sparsity in words. left_out: which learning rates have panels, if not
    all do. over_seeds: the scope of its intervals in words.
    """

    title: str
    answers: list[str]
    at: str
    left_out: str
    charts: dict[str, list[Chart]]
    accuracy: pd.DataFrame
    retention: pd.DataFrame
    ancestors: pd.DataFrame
    missing_levels: str
    same_masks: list[str]
    supports: pd.DataFrame
    verdicts: Verdicts
    over_seeds: str


def report(database: Database, study_id: str, now: datetime | None = None) -> str:
    """Return the report of a study's results so far; raises UnknownStudy where it is not recorded."""
    record = studies.study(database, study_id)
    return render(database, record, places(database, record), now)


def render(database: Database, record: StudyRecord, study_places: list[Place], now: datetime | None = None) -> str:
    """Return the report of a study with these charts and results."""
    stages = studies.stages(database, record.study_id)
    failed, more = facts.failures(stages)
    provenance = results.provenance(database, record.study_id)
    script, style = ((FOLDER / f"report.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    script += SCRIPT
    charts = [chart for place in study_places for group in place.charts.values() for chart in group]
    return (
        _templates()
        .get_template("report.html")
        .render(
            record=record,
            study=record.study,
            compares=words.compares(record.study.model_dump()),
            summary=facts.summary(record, provenance, len(stages)),
            columns=_columns(max((len(place.rates) for place in study_places), default=1)),
            warning=facts.unfinished(record, len(stages)),
            diverged=divergence.sentence(stages[stages["diverged"].notna()]),
            general=facts.general(
                record,
                provenance,
                results.origins(database, record.study_id),
                len(stages),
                now or datetime.now(UTC),
            ),
            recipe=facts.recipe(record),
            recipe_words=verdict_tables.recipe_words(record.study),
            failed=failed,
            more_failed=more,
            places=[_place_report(database, record.study, place) for place in study_places],
            number_of={chart.name: number for number, chart in enumerate(charts)},
            measure=MEASURES[MEASURE],
            p=near_p(record.study.overlap_p),
            mask_alone=ancestors.EXPLAINED,
            about_forests=LEGEND,
            about_supports=support_table.ABOUT,
            thresholds=verdict_tables.thresholds_table(Thresholds()),
            toml=record.toml,
            command=COMMAND,
            references=[citation.tool(), citation.PAPER],
            style=Markup(style),
            libraries=Markup(libraries()),
            script=Markup(script),
            policy=_policy(libraries(), script),
            data=embedded({"charts": [chart.spec for chart in charts], "config": theme(*_INKS, FONTS, faint=0.2)}),
            icon=b64encode(Path(__file__).parents[1].joinpath("icon.svg").read_bytes()).decode(),
            legend=_legend,
        )
    )


# Charts take the colour of the text around them, so they suit light and dark screens and paper.
_INKS = ("currentColor", "currentColor", "currentColor")
FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, Arial, sans-serif"


def embedded(value: Any) -> Markup:
    """Return a value as JSON that HTML cannot read as a tag, an entity or the end of a script."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@lru_cache(maxsize=1)
def libraries() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, escaped for a script tag."""
    bundle = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    """Return a content security policy under which the browser runs only these scripts and fetches nothing."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _columns(panels: int) -> int:
    """Return the number of panels side by side, so that none stands alone below a row of three."""
    return 3 if panels == 3 or panels > 4 else 2


def _place_report(database: Database, study: Study, place: Place) -> PlaceReport:
    rows, pooled, p, at = place.results.accuracy, place.results.pooled, place.p, place.at
    dataset, network = place.subject.dataset, place.subject.network
    return PlaceReport(
        words.place(network, dataset),
        [part.sentence for part in summed_up(answers(rows, pooled, *at, p))] if at else [],
        at_words(*at) if at else "",
        _left_out(place),
        place.charts,
        (accuracy.table if at else accuracy.dense_table)(rows, MEASURE),
        retention.table(pooled, p),
        ancestors.table(pooled, p),
        ancestors.missing(ancestors.at(pooled, p)),
        same_masks.sentences(rows),
        support_table.table(place.results.supports),
        _verdicts(place),
        verdict_tables.over_seeds(number_of_test_images(study, local_name(database, dataset))),
    )


def _left_out(place: Place) -> str:
    rates, drawn = place.results.accuracy["learning_rate"].nunique(), len(place.rates)
    if drawn == rates:
        return ""
    return f"Panels for {drawn} of {words.rates(place.results.accuracy['learning_rate'].unique())}: {TELLING}."


def _verdicts(place: Place) -> Verdicts:
    verdicts = place.verdicts
    return Verdicts(
        {
            outcome: verdict_tables.counted(outcome, count)
            for outcome, count in verdict_tables.counts(verdicts).items()
            if count
        },
        _cards(place, control=False),
        _cards(place, control=True),
        list(
            dict.fromkeys(
                (v.claim, words.sentence(v.reason)) for v in verdicts if v.outcome == "missing" and not v.control
            )
        ),
        verdict_tables.winning(winning_property(place.evidence[0])),
        verdict_tables.widened(verdicts),
        verdict_tables.by_chance(verdicts, place.others),
    )


def _cards(place: Place, control: bool) -> list[Card]:
    shown = [v for v in place.verdicts if verdict_tables.is_shown(v) and v.control == control]
    others = [verdict for verdict in place.others if verdict.control == control]
    return [
        _card(claim, list(group), [verdict for verdict in others if verdict.claim == claim])
        for claim, group in groupby(shown, key=lambda verdict: verdict.claim)
    ]


def _card(claim: str, verdicts: Sequence[Verdict], others: Sequence[Verdict]) -> Card:
    rules = dict.fromkeys(rule for verdict in verdicts for rule in verdict_tables.rules(verdict))
    entry = CLAIMS[claim]
    lines = [_line(text, group) for some in (verdicts, others) for text, group in verdict_tables.lines(some)]
    return Card(claim, entry.text, entry.where, lines, list(rules))


def _line(text: str, verdicts: Sequence[Verdict]) -> Line:
    """Return the line of one verdict, or that of several at different rates with a text that sums them up."""
    first = verdicts[0]
    if text:
        where = verdict_tables.scope(first, ("dataset", "network", "learning_rate"))
        return Line("", where, text, "", verdict_tables.by_rate(verdicts))
    where = verdict_tables.scope(first, ("dataset", "network"))
    reason, needs = words.sentence(first.reason), verdict_tables.needed(first)
    return Line(first.outcome, where, reason, "" if first.at_another_rate else needs, verdict_tables.compared(first))


def _legend(content: Legend) -> Markup:
    """Return the legend of a row of charts as HTML; `app.charts.palette` escapes its texts."""
    colours = ramp(*content.ramp) if content.ramp else ""
    has_row = content.looks or content.bands or content.note
    return Markup(colours + (legend(content.looks, content.bands, content.note) if has_row else ""))


def _numeric(frame: pd.DataFrame) -> set[str]:
    return {str(name) for name in frame.select_dtypes("number").columns}


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "symbols": lambda text: Markup(words.typeset(text)),
        "numeric": _numeric,
        "in_words": in_words,
        "head": head,
    }
    return environment

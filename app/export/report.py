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
from app.answer.answers import answers, at_words
from app.charts import accuracy, ancestors, retention
from app.charts.accuracy import MEASURES
from app.charts.chart import Chart
from app.charts.forest import LEGEND
from app.charts.palette import SINGLE_OUT, legend, ramp
from app.charts.picture import VEGA_LITE, Legend, theme
from app.charts.points import near_p
from app.components import divergence, same_masks, support_table, verdict_tables
from app.export import facts
from app.export.charts import MEASURE, Place, places
from data.database.database import Database
from data.queries import studies
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

    where: its scope without dataset and network. needs: the seeds that would decide it. comparisons: its numbers.
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

    counts: the number of each outcome. cards: the claims with numbers; controls: the same for pruners without a claim
    in the paper. missing: the claims without numbers, each with its reason. winning: the winning property by learning
    rate, pruner and sparsity; without rows where no run bears on it. widened: why claim A4 has wider intervals than
    this table. by_chance: how many verdicts may be wrong by chance.
    """

    counts: dict[str, int]
    cards: list[Card]
    controls: list[Card]
    missing: list[tuple[str, str]]
    winning: pd.DataFrame
    widened: str
    by_chance: str


@dataclass(frozen=True)
class PlaceReport:
    """The content of a report for one dataset and network.

    answers: a sentence for each learning rate; at: their pruner and sparsity in words. over_seeds: the scope of its
    intervals in words.
    """

    title: str
    answers: list[str]
    at: str
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
    provenance = studies.provenance(database, record.study_id)
    script, style = ((FOLDER / f"report.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    script += SINGLE_OUT
    charts = [chart for place in study_places for group in place.charts.values() for chart in group]
    return (
        _templates()
        .get_template("report.html")
        .render(
            record=record,
            study=record.study,
            compares=words.compares(record.study.model_dump()),
            summary=facts.summary(record, provenance, len(stages)),
            columns=min(3, max(2, len(record.study.learning_rates))),
            warning=facts.unfinished(record, len(stages)),
            diverged=divergence.sentence(stages[stages["diverged"].notna()]),
            general=facts.general(record, provenance, len(stages), now or datetime.now(UTC)),
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


def _place_report(database: Database, study: Study, place: Place) -> PlaceReport:
    rows, pooled, p, at = place.results.accuracy, place.results.pooled, place.p, place.at
    dataset, network = place.subject.dataset, place.subject.network
    return PlaceReport(
        words.place(network, dataset),
        [answer.sentence for answer in answers(rows, pooled, *at, p)] if at else [],
        at_words(*at) if at else "",
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


def _verdicts(place: Place) -> Verdicts:
    verdicts = place.verdicts
    return Verdicts(
        verdict_tables.counts(verdicts),
        _cards([verdict for verdict in verdicts if not verdict.control]),
        _cards([verdict for verdict in verdicts if verdict.control]),
        list(
            dict.fromkeys(
                (v.claim, words.sentence(v.reason))
                for v in verdicts
                if not verdict_tables.is_shown(v) and not v.control
            )
        ),
        verdict_tables.winning(winning_property(place.evidence[0])),
        verdict_tables.widened(verdicts),
        verdict_tables.by_chance(verdicts),
    )


def _cards(verdicts: Sequence[Verdict]) -> list[Card]:
    with_numbers = [verdict for verdict in verdicts if verdict_tables.is_shown(verdict)]
    return [_card(claim, list(group)) for claim, group in groupby(with_numbers, key=lambda verdict: verdict.claim)]


def _card(claim: str, verdicts: Sequence[Verdict]) -> Card:
    rules = dict.fromkeys(rule for verdict in verdicts for rule in verdict_tables.rules(verdict))
    entry = CLAIMS[claim]
    return Card(claim, entry.text, entry.where, [_line(verdict) for verdict in verdicts], list(rules))


def _line(verdict: Verdict) -> Line:
    where = verdict_tables.scope(verdict, ("dataset", "network"))
    reason, needs = words.sentence(verdict.reason), verdict_tables.needed(verdict)
    return Line(verdict.outcome, where, reason, needs, verdict_tables.compared(verdict))


def _legend(content: Legend) -> Markup:
    """Return the legend of a row of charts as HTML; `app.charts.palette` escapes its texts."""
    colours = ramp(*content.ramp) if content.ramp else ""
    has_row = content.looks or content.bands or content.note
    return Markup(colours + (legend(content.looks, content.bands, content.note) if has_row else ""))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

"""A study's report: one HTML file that holds everything it shows and opens from disk, without a network."""

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app import words
from app.charts import accuracy as charts_accuracy
from app.charts import ancestors as charts_ancestors
from app.charts import overlap
from app.charts.accuracy import MEASURES
from app.charts.palette import legend, ramp
from app.charts.picture import VEGA_LITE, Legend, theme
from app.components import divergence, same_masks, support_table, verdict_tables
from app.export import facts
from app.export.charts import MEASURE, PARTS, Drawn, Measured, charts, kinds, measured, near_p, of
from app.export.verdicts import Judged, judged
from data.database.database import Database
from data.queries import studies
from data.queries.studies import StudyRecord, provenance
from engine.claims import Thresholds
from engine.study.spec import to_toml
from tasks.studies.planning import number_of_test_images

FOLDER = Path(__file__).with_name("templates")
COMMAND = "python -m tasks run study.toml --out DIR"


@dataclass(frozen=True)
class Part:
    """What a report shows of one dataset and network; charts, by their part, with their numbers in the report."""

    title: str
    charts: dict[str, list[tuple[int, Drawn]]]
    accuracy: pd.DataFrame
    retention: pd.DataFrame
    ancestors: pd.DataFrame
    missing_levels: str
    same_masks: list[str]
    supports: pd.DataFrame
    verdicts: Judged
    over_seeds: str


def report(store: Database, study_id: str, now: datetime | None = None) -> str:
    """Return the report of a study as it stands; UnknownStudy where it is not recorded."""
    record, found = studies.study(store, study_id), measured(store, study_id)
    return render(store, record, found, list(charts(record, found)), now)


def render(
    store: Database, record: StudyRecord, found: Measured, drawn: list[Drawn], now: datetime | None = None
) -> str:
    """Return the report of a study from what was read and drawn of it already."""
    stages = studies.stages(store, record.study_id)
    thresholds = Thresholds()
    failed, more = facts.failures(stages)
    made = provenance(store, record.study_id)
    script, style = (FOLDER / "report.js").read_text(), (FOLDER / "report.css").read_text()
    return (
        _templates()
        .get_template("report.html")
        .render(
            record=record,
            study=record.study,
            compares=words.compares(record.study.model_dump()),
            summary=facts.summary(record, made, len(stages)),
            columns=min(3, max(2, len(record.study.learning_rates))),
            warning=facts.unfinished(record, len(stages)),
            diverged=divergence.told(stages[stages["diverged"].notna()]),
            general=facts.general(record, made, len(stages), now or datetime.now(UTC)),
            recipe=facts.recipe(record),
            recipe_words=verdict_tables.recipe_words(record.study),
            failed=failed,
            more_failed=more,
            parts=[_part(record, found, drawn, *kind) for kind in kinds(found)],
            measure=MEASURES[MEASURE],
            p=near_p(record),
            mask_alone=charts_ancestors.EXPLAINED,
            about_supports=support_table.ABOUT,
            thresholds=verdict_tables.thresholds_table(thresholds),
            toml=to_toml(record.study),
            command=COMMAND,
            style=Markup(style),
            libraries=Markup(libraries()),
            script=Markup(script),
            policy=_policy(libraries(), script),
            data=embedded({"charts": [item.spec for item in drawn], "config": theme(*_INKS, FONTS, faint=0.2)}),
            icon=b64encode(Path(__file__).parents[1].joinpath("icon.svg").read_bytes()).decode(),
            legend=lambda items: _legend(items[0][1].saving.legend),
        )
    )


# Charts take the colour of the text around them, so that they are drawn once for light, dark and paper.
_INKS = ("currentColor", "currentColor", "currentColor")
FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, Arial, sans-serif"


def embedded(value: Any) -> Markup:
    """Return a value as JSON that no HTML around it can take for a tag, an entity or an end of its script."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@lru_cache(maxsize=1)
def libraries() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, as it may stand between script tags."""
    bundle = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    """Return the rule that the browser keeps: these scripts and no other run, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _part(record: StudyRecord, found: Measured, drawn: list[Drawn], dataset: str, network: str) -> Part:
    accuracy, pooled = of(found.accuracy, dataset, network), of(found.pooled, dataset, network)
    own: dict[str, list[tuple[int, Drawn]]] = {name: [] for name in PARTS}
    for index, item in enumerate(drawn):
        if (item.dataset, item.network) == (dataset, network):
            own[item.part].append((index, item))
    pruned = bool((accuracy["start"] != "dense").any())
    table = charts_accuracy.table if pruned else charts_accuracy.dense_table
    p = near_p(record)
    return Part(
        words.place(network, dataset),
        own,
        table(accuracy, MEASURE),
        overlap.retention_table(pooled, p),
        charts_ancestors.table(pooled, p),
        charts_ancestors.missing(charts_ancestors.at(pooled, p)),
        same_masks.sentences(accuracy),
        support_table.table(of(found.supports, dataset, network)),
        judged(accuracy, pooled, of(found.diverged, dataset, network), Thresholds()),
        verdict_tables.over_seeds(number_of_test_images(record.study, dataset)),
    )


def _legend(told: Legend | None) -> Markup:
    """Return the legend of a row of charts as HTML; `app.charts.palette` escapes what it holds."""
    if told is None:
        return Markup()
    colours = ramp(*told.ramp) if told.ramp else ""
    row = legend(told.looks, told.bands, told.note) if told.looks or told.bands or told.note else ""
    return Markup(f"{colours}{row}")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

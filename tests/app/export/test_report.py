"""The report: its contents, that it runs nothing from names, and that every study has one."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from app.export.report import embedded, libraries, report
from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy
from data.queries.studies import UnknownStudy
from engine.study.plan import Stage
from engine.study.spec import Study, to_toml
from tests.app.made_study import record

ID = "made-study-0001"
HOSTILE = "</script><script>alert(1)</script>"


class ParsedPage(HTMLParser):
    """The scripts, attributes and texts of a page, as a browser parses them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text.append(data)


def read(database: Database) -> ParsedPage:
    return ParsedPage(report(database, ID, datetime(2026, 11, 24, 9, 30, tzinfo=UTC)))


def text_of(page: ParsedPage) -> str:
    return re.sub(r"\s+", " ", " ".join(page.text))


def charts(page: ParsedPage) -> list[dict]:  # type: ignore[type-arg]
    return json.loads(page.scripts[0])["charts"]


def test_a_report_says_how_the_study_was_made(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"note": "What it is for."}), reused=3)
    page = text_of(read(database))
    for text in (
        "Small study",
        "What it is for.",
        "done, 78 of 78 stages done",
        "Seeds (n = 3) 0-2",
        "engine 1, python 3.11.7, torch 2.13.0",
        "Hardware cpu",
        "3 stages done before this study was launched",
        "Weight decay 0.01",
        "24 November 2026, 09:30 UTC",
        "ticketscope run study.toml --out DIR",
        "bit for bit",
    ):
        assert text in page
    assert "not complete" not in page


def test_a_report_holds_the_study_itself(database: Database, study: Study) -> None:
    record(database, study)
    assert to_toml(study).strip() in "".join(read(database).text)


def test_numbers_are_those_of_the_database(database: Database, study: Study) -> None:
    record(database, study)
    page = read(database)
    rows = points.accuracy(database, OneStudy(ID))
    runs = rows[(rows["learning_rate"] == 0.1) & (rows["pruner"] == "oneshot") & (rows["start"] == "rewind")]
    runs = runs[runs["sparsity"] == 0.9]["test_accuracy"]
    assert f"{runs.mean():.2f} {runs.std():.2f}" in text_of(page)
    means = [
        row["mean"] for spec in charts(page) for data in spec["datasets"].values() for row in data if "mean" in row
    ]
    assert any(abs(value - runs.mean()) < 1e-9 for value in means)


def test_every_chart_is_placed_once(database: Database, study: Study) -> None:
    record(database, study)
    page = read(database)
    places = [int(value) for name, value in page.attributes if name == "data-chart"]
    assert sorted(places) == list(range(len(charts(page)))) == list(range(3 + 1 + 2 + 4 + 1 + 1 + 4 + 4 + 2))


def test_a_report_loads_nothing_from_elsewhere(database: Database, study: Study) -> None:
    record(database, study)
    page = read(database)
    sources = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert all(value.startswith(("data:", "#")) for value in sources)
    policy = next(value for name, value in page.attributes if value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert len(page.scripts) == 3
    assert policy.count("sha256-") == 2


def test_names_notes_and_errors_are_never_taken_for_html(database: Database, study: Study) -> None:
    hostile = study.model_copy(
        update={
            "name": f"A {HOSTILE}",
            "note": f"B {HOSTILE} <img src=x onerror=alert(2)>",
            "datasets": (f"folder:/{HOSTILE}",),
        }
    )
    record(database, hostile, lambda index, stage: "failed" if index == 5 else "done", error=f"C {HOSTILE}")
    page = read(database)
    assert len(page.scripts) == 3
    assert not any("alert(1)" in script for script in page.scripts[1:])
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for text in (f"A {HOSTILE}", f"B {HOSTILE}", f"C {HOSTILE}"):
        assert text in text_of(page)


@pytest.mark.parametrize("text", [HOSTILE, "<!--<script>", "&lt;", "\u2028", "é"])
def test_json_in_a_page_is_read_back_unchanged(text: str) -> None:
    embedding = embedded({"a": text})
    assert json.loads(embedding) == {"a": text}
    assert not set("<>&\u2028") & set(embedding)


def test_the_libraries_do_not_end_their_script_element() -> None:
    assert "</script" not in libraries().lower()
    assert "<!--" not in libraries()


@pytest.mark.parametrize(("state", "sentence"), [("running", "it is running"), ("failed", "it has failed")])
def test_the_report_of_an_unfinished_study_says_so_at_the_top(
    database: Database, study: Study, state: str, sentence: str
) -> None:
    record(database, study, lambda index, stage: "done" if index < 40 else state)
    page = text_of(read(database))
    assert "This study is not complete" in page
    assert sentence in page
    assert page.index("not complete") < page.index("Verdicts")
    assert "40 of 78 stages done" in page


def test_failed_stages_are_listed_with_their_errors(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "failed" if index == 20 else "done")
    assert "RuntimeError: a made-up failure" in text_of(read(database))


@pytest.mark.parametrize("done", [0, 1, 3, 7, 30])
def test_a_study_has_a_report_at_any_time(database: Database, study: Study, done: int) -> None:
    record(database, study, lambda index, stage: "done" if index < done else "waiting")
    page = read(database)
    assert ("No training has finished yet" in text_of(page)) == (done == 0)


def test_a_dense_only_study_has_a_report(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"pruners": (), "starts": (), "sparsities": ()}))
    assert "only dense baselines" in text_of(read(database))


def test_each_dataset_network_and_rate_has_its_own_charts(database: Database, study: Study) -> None:
    wide = {"datasets": ("digits", "folder:/images"), "networks": ("lenet300", "vgg11"), "seeds": (0, 1, 2)}
    record(database, study.model_copy(update={**wide, "learning_rates": (0.01, 0.03, 0.1), "pruners": ("oneshot",)}))
    page = read(database)
    assert text_of(page).count("LeNet-300 on Digits") >= 3
    assert len(charts(page)) == 4 * (3 + 1 + 2 + 3 + 1 + 1 + 3 + 3 + 3)


def test_an_unknown_study_has_no_report(database: Database) -> None:
    with pytest.raises(UnknownStudy):
        report(database, "gone")


def test_the_report_lists_every_claim_that_lacks_runs_of_those_it_counts(database: Database, study: Study) -> None:
    # E3 lacks a pruner, and the ticket's claims their runs at the low rate.
    def state(index: int, stage: Stage) -> str:
        return "queued" if stage.learning_rate < 0.1 and stage.start == "winning_ticket" else "done"

    record(database, study, state)
    page = text_of(read(database))
    counted = re.search(r"(\d+) lacks? runs", page)
    assert int(counted[1]) > 1
    listed = page.partition("Verdicts for which runs are missing")[2]
    for claim in ("A1", "A1+A2", "A4", "E3"):
        assert f"{claim}: " in listed
    assert not re.search(r"\b1 (hold|fail|lack)\b|(?<![\w.])[2-9] (holds|fails|lacks)\b", page)


def test_verdicts_are_listed_with_their_rules_and_thresholds(database: Database, study: Study) -> None:
    record(database, study)
    page = text_of(read(database))
    assert "At the low learning rate, the winning ticket beats random reinit across sparsities." in page
    assert re.search(r"\b(holds|fails|undecided)\b", page)
    assert "fewer than 3 seeds are undecided" in page
    assert "points within which two accuracies are similar, and beyond which a gap is clear" in page

import re
from pathlib import Path

import pytest
import streamlit as st
from PIL import Image
from redis import Redis
from streamlit.testing.v1 import AppTest

from app.paper.numbers import DIFFERENCE
from app.paper.overview import ON_FOLDER
from app.words import plain
from data.database.database import Database
from engine.paper import studies
from engine.paper.figures import FIGURES, REPORTED
from engine.study.spec import Study, parse_study
from tasks.queue import leases, telemetry
from tasks.studies import planning
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record
from tests.tasks.queue.test_telemetry import worker

PAGE = "views/paper.py"
FIGURE = "views/figure.py"


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give datasets the identities that made-up studies have."""
    monkeypatch.setattr("app.paper.runs.identity", lambda name, home: f"identity of {name}")


def small(name: str, **changes: object) -> Study:
    """Return a figure as a study at small scale, with some fields changed."""
    return parse_study({**studies.study(name, "small").model_dump(exclude_none=True), **changes})


def text_of(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def test_every_figure_has_a_card_and_the_page_counts_the_trainings() -> None:
    app = open_page(PAGE, scale="paper")
    text = text_of(app)
    for figure in FIGURES.values():
        assert plain(figure.about).replace("\\", "") in text
    assert "8,625" in text
    assert "4,715" in text


def test_a_search_and_a_claim_narrow_the_cards() -> None:
    app = open_page(PAGE)
    app.text_input(key="paper_search").input("vgg-11 rewind")
    rerun(app)
    assert FIGURES["fig13"].about in text_of(app)
    assert FIGURES["fig9"].about not in text_of(app)
    app.text_input(key="paper_search").input("")
    app.multiselect(key="paper_claims").select("F1")
    rerun(app)
    assert FIGURES["table1"].about in text_of(app)
    assert FIGURES["fig13"].about not in text_of(app)


def test_every_figure_says_that_nothing_is_trained_yet() -> None:
    for name in FIGURES:
        assert "No run of this figure is trained" in text_of(open_page(FIGURE, figure=name, scale="small"))


def test_every_figure_is_drawn_from_the_runs_so_far(database: Database) -> None:
    record(
        database, small("all"), lambda index, stage: "done" if stage.seed == 0 or stage.kind == "pretrain" else "queued"
    )
    for name in FIGURES:
        text = text_of(open_page(FIGURE, figure=name, scale="small"))
        assert "No run of this figure" not in text
        assert "not trained yet" not in text
        assert "undecided" in text or name in ("fig2", "main-fig4", "table1")


def test_every_complete_figure_is_drawn_with_its_verdicts(database: Database) -> None:
    record(database, small("all"))
    for name, figure in FIGURES.items():
        text = text_of(open_page(FIGURE, figure=name, scale="small"))
        assert all(f"**{claim}**" in text or f"- {claim}: " in text for claim in figure.claims)
        assert "scaled" in text
        assert "weight decay 0.01" in text


def test_runs_of_any_study_count_for_a_figure(database: Database) -> None:
    record(database, small("all"))
    app = open_page(FIGURE, figure="fig7", scale="small")
    assert "354 of 354 trainings done" in "".join(str(item.proto.text) for item in app.get("progress"))


def test_the_papers_numbers_are_shown_beside_ours_with_the_difference(database: Database) -> None:
    record(database, studies.study("table1"))
    app = open_page(FIGURE, figure="table1", scale="paper")
    as_in_paper, comparison = tables(app)
    # The table has a row for each network and dataset and a column for each ancestor, as in the paper.
    places = list(zip(as_in_paper["network"], as_in_paper["dataset"], strict=True))
    assert places == [
        ("ResNet-20", "CIFAR-100"),
        ("MobileNet-V2", "CIFAR-100"),
        ("VGG-11", "CIFAR-100"),
        ("MobileNet-V2", "CIFAR-10"),
        ("VGG-11", "CIFAR-10"),
    ]
    for ancestor in ("initial weights θ₀", "trained dense weights θ_T"):
        assert as_in_paper[f"with {ancestor} (%)"].str.fullmatch(r"[\d.]+ ± [\d.]+ \(n = 5\)").all()
    assert list(comparison["paper (%)"]).count("63.97") == 1
    assert set(comparison["n"]) == {"5"}
    assert comparison[DIFFERENCE].str.contains(" to ").all()
    assert "our runs" not in comparison
    assert "scaled" not in text_of(app)
    assert "drawn once" not in text_of(app)


def test_runs_by_another_recipe_are_not_subtracted_from_the_papers(database: Database) -> None:
    study = parse_study({**studies.study("table1").model_dump(exclude_none=True), "recipe": {"epochs": 4}})
    record(database, study)
    app = open_page(FIGURE, figure="table1", like="made-study-0001")
    as_in_paper, comparison = tables(app)
    assert len(as_in_paper) == 5
    assert DIFFERENCE not in comparison
    assert "ResNet-20 on CIFAR-100" in set(comparison["our runs"])
    assert set(comparison["n"]) == {"5"}
    assert "their numbers are not subtracted" in text_of(app)


def test_the_rows_of_a_scaled_table_are_shown_once(database: Database) -> None:
    record(database, small("table1"))
    app = open_page(FIGURE, figure="table1", scale="small")
    as_in_paper, comparison = tables(app)
    [row] = as_in_paper.to_dict("records")
    assert (row["network"], row["dataset"]) == ("LeNet-300", "Digits")
    assert row["stands for"].startswith("ResNet-20 on CIFAR-100, MobileNet-V2 on CIFAR-100")
    assert set(comparison["our runs"]) == {"LeNet-300 on Digits"}
    assert DIFFERENCE not in comparison
    assert "All 5 rows of the paper have the same runs here, which are shown once." in text_of(app)


def test_panels_with_the_same_runs_are_drawn_once_and_name_those_for_which_they_stand(database: Database) -> None:
    record(database, small("fig1"))
    app = open_page(FIGURE, figure="fig1", scale="small")
    text = " ".join([text_of(app), *(item.proto.body for item in app.get("html"))])
    once = "Panels whose runs are the same here are drawn once: (a, c, e, g) and (b, d, f, h)."
    assert once in text
    assert "stands for MobileNet-V2 on CIFAR-10, MobileNet-V2 on CIFAR-100, ResNet-20 on CIFAR-100" in text
    assert app.selectbox(key="figure_part").options == ["whole figure", "panel a, c, e, g", "panel b, d, f, h"]
    app.selectbox(key="figure_part").select("panel b, d, f, h")
    assert "paper:fig1:b --scale small" in text_of(rerun(app))
    captions = [text for text in text.split("\n") if "LeNet-300 on Digits, learning rate 0.01" in text]
    assert "(a, c, e, g) LeNet-300 on Digits, learning rate 0.01" in " ".join(captions)
    assert "(c) LeNet-300" not in text
    assert once in text_of(open_page(PAGE, scale="small"))
    assert "drawn once" not in text_of(open_page(PAGE, scale="paper"))


def test_all_stated_numbers_are_compared_only_at_the_papers_scale() -> None:
    for scale, compared in (("small", False), ("paper", True)):
        app = open_page(PAGE, scale=scale)
        [stated] = [table for table in tables(app) if "paper (%)" in table]
        assert len(stated) == len(REPORTED)
        assert (DIFFERENCE in stated) == compared
        assert ("our runs" in stated) != compared


def test_a_figure_opens_at_the_scale_that_fits_the_workers(redis: Redis) -> None:
    def scales(**query: str) -> tuple[str, str]:
        page, card = open_page(FIGURE, figure="main-fig4", **query), open_page(PAGE, **query)
        return page.selectbox[0].value, card.selectbox[0].value

    # This machine has no GPU and no worker runs.
    assert scales() == ("Small on Digits", "Small on Digits")
    assert scales(scale="paper") == ("As in the paper", "As in the paper")
    telemetry.beat(redis, worker("gpu1-1:1", device="cuda:0"))
    st.cache_data.clear()
    assert scales() == ("As in the paper", "As in the paper")
    assert scales(scale="small") == ("Small on Digits", "Small on Digits")


@pytest.mark.parametrize("page", [PAGE, FIGURE])
def test_the_other_scale_is_one_click_away(page: str) -> None:
    app = open_page(page, figure="main-fig4")
    key = "overview-other-scale" if page == PAGE else "figure-other-scale"
    app.button(key=key).click()
    app = rerun(app)
    assert app.selectbox[0].value == "As in the paper"
    assert app.query_params["scale"] == "paper"
    app.button(key=key).click()
    app = rerun(app)
    assert app.selectbox[0].value == "Small on Digits"


def test_a_long_figure_is_launched_only_after_an_answer(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    # No figure that takes long can be launched here without a download.
    monkeypatch.setattr(planning, "LONG", 0.0)
    app = open_page(FIGURE, figure="main-fig4", scale="small")
    app.button(key="launch_figure").click()
    app = rerun(app)
    assert not leases.studies(redis)
    [question] = [item.value for item in app.markdown if "This takes long" in item.value]
    expected = r"6 trainings, about .* on \d+ workers?, done about .*, and 3 MiB in the artifact store"
    assert re.search(expected, question.replace("\\", ""))
    app.button(key="launch_long_no").click()
    app = rerun(app)
    assert "This takes long" not in texts(app)
    assert not leases.studies(redis)
    app.button(key="launch_figure").click()
    app = rerun(app)
    app.button(key="launch_long_yes").click()
    rerun(app)
    [study_id] = leases.studies(redis)
    assert study_id


def test_a_short_figure_is_launched_at_once(redis: Redis) -> None:
    app = open_page(FIGURE, figure="main-fig4", scale="small")
    app.button(key="launch_figure").click()
    rerun(app)
    assert len(leases.studies(redis)) == 1


def test_settings_of_a_launched_study_can_be_chosen_and_are_in_the_address(database: Database) -> None:
    record(database, parse_study({**studies.study("main-fig4").model_dump(exclude_none=True), "recipe": {"epochs": 3}}))
    app = open_page(FIGURE, figure="main-fig4")
    chooser = app.selectbox[0]
    (option,) = (option for option in chooser.options if "made-study-0001" in option)
    chooser.select(option)
    rerun(app)
    assert app.query_params["like"] == "made-study-0001"
    assert app.query_params["figure"] == "main-fig4"


def test_a_figure_can_be_trained_on_a_folder_of_images(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.datasets.registry import identity

    monkeypatch.setattr("app.paper.runs.identity", identity)
    app = open_page(FIGURE, figure="main-fig4")
    app.selectbox[0].select(ON_FOLDER)
    rerun(app)
    assert "Name a folder of images" in app.info[0].value
    assert not [button for button in app.button if button.key == "launch_figure"]
    field = next(field for field in app.text_input if field.label == "Folder of images")
    field.input(str(tmp_path / "none"))
    rerun(app)
    # The error is shown beside the folder, and the address does not change.
    assert f"no folder at {tmp_path / 'none'}" in text_of(app)
    assert app.query_params == {"figure": "main-fig4"}
    assert not [button for button in app.button if button.key == "launch_figure"]
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (32, 32), (number, 40, 80)).save(tmp_path / "pets" / split / name / f"{number}.png")
    next(field for field in app.text_input if field.label == "Folder of images").input(str(tmp_path / "pets"))
    rerun(app)
    assert app.query_params["data"] == f"folder:{tmp_path / 'pets'}"
    assert app.query_params["scale"] == "small"
    assert not any("Name a folder" in item.value for item in app.info)
    # The scale has more images than the folder, so the figure is trained on all of these.
    assert not app.error
    assert app.button(key="launch_figure")
    assert f"folder:{tmp_path / 'pets'} in place of the paper's datasets" in text_of(app)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"figure": "fig99"}, "fig99"),
        ({"scale": "huge"}, "huge"),
        ({"figure": "fig4", "like": "gone"}, "No run of this figure"),
    ],
)
def test_unknown_names_in_the_address_are_reported(query: dict[str, str], message: str) -> None:
    app = open_page(FIGURE if "figure" in query else PAGE, **query)
    assert message in text_of(app) + "".join(item.value for item in [*app.error, *app.warning])


def test_an_unknown_dataset_in_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from data.datasets.registry import identity

    monkeypatch.setattr("app.paper.runs.identity", identity)
    app = open_page(FIGURE, figure="fig4", data="folder:/nowhere")
    assert "/nowhere" in app.error[0].value

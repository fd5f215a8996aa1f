from pathlib import Path

import pytest
import streamlit as st
from PIL import Image
from redis import Redis
from streamlit.testing.v1 import AppTest

from app.new_study import launch as launching
from app.new_study import saved_drafts
from app.new_study.presets import PRESETS
from data.database.database import Database
from engine.study.spec import Study, to_toml
from tasks.queue import equal, leases
from tasks.studies import launch, planning
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.machine import folder_of_images

PAGE = "views/new_study.py"


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def type_in(app: AppTest, field: str, value: str) -> AppTest:
    app.text_input(key=f"field-{field}").input(value)
    return rerun(app)


def start_from(app: AppTest, choice: str) -> AppTest:
    app.button_group(key="start_from").set_value(choice)
    return rerun(app)


def paste(app: AppTest, text: str) -> AppTest:
    app.text_area(key="toml_text").input(text)
    return rerun(app)


def test_the_form_opens_with_the_demo_and_its_plan() -> None:
    app = open_page(PAGE)
    demo = PRESETS[0].study()
    assert app.text_input(key="field-name").value == demo.name
    assert metrics(app)["Trainings"].isdigit()
    assert metrics(app)["Reused"] == "0"
    assert metrics(app)["About"][0].isdigit()
    assert "ticketscope launch demo" in texts(app)


def test_the_plan_follows_the_form() -> None:
    app = open_page(PAGE)
    before = int(metrics(app)["Trainings"])
    after = int(metrics(type_in(app, "seeds", "0"))["Trainings"])
    assert after * 3 == before
    assert "ticketscope launch study.toml" in texts(app)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_fill_the_form(preset) -> None:
    app = open_page(PAGE)
    start_from(app, preset.name)
    assert app.text_input(key="field-name").value == preset.study().name
    assert app.multiselect(key="field-networks").value == list(preset.study().networks)
    assert f"ticketscope launch {preset.command}" in texts(app)


def test_the_address_may_name_a_preset_or_a_study_to_copy(database: Database, study: Study) -> None:
    assert open_page(PAGE, preset="small_cifar10").text_input(key="field-name").value == "Small CIFAR-10"
    record(database, study)
    assert open_page(PAGE, copy="made-study-0001").text_input(key="field-name").value == "Small study (copy)"
    assert "No study 'gone' is recorded" in open_page(PAGE, copy="gone").error[0].value


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learning_rates", "0.01, abc", "'abc' should be a valid number"),
        ("learning_rates", "0", "greater than 0"),
        ("sparsities", "1.2", "less than 1"),
        ("recipe-epochs", "", "is empty"),
        ("train_images", "2000", "2000 is more than digits holds"),
        ("folder", "/no/such/folder", "/no/such/folder"),
    ],
)
def test_errors_are_shown_at_their_field_and_prevent_a_launch(field: str, value: str, message: str) -> None:
    app = type_in(open_page(PAGE), field, value)
    (at_field,) = [item.value for item in app.markdown if ":material/error:" in item.value]
    assert message.replace("'", "") in at_field.replace("\\", "").replace("'", "")
    assert app.button(key="launch").disabled
    # The line with the button says what is wrong, too.
    assert (
        len(
            [item for item in app.markdown if message.replace("'", "") in item.value.replace("\\", "").replace("'", "")]
        )
        >= 3
    )
    assert "Trainings" not in metrics(app)


def test_all_faulty_fields_are_marked_at_once() -> None:
    app = type_in(open_page(PAGE), "folder", "/no/such/folder")
    app = type_in(type_in(app, "learning_rates", "abc"), "recipe-batch_size", "0")
    assert len([item for item in app.markdown if ":material/error:" in item.value]) == 3
    assert "Correct Folder of images, Learning rates and Batch size to launch." in texts(app).replace("\\", "")


def test_percentages_are_offered_as_fractions_and_a_click_takes_them() -> None:
    app = type_in(open_page(PAGE), "sparsities", "50, 90 %")
    question = "Write fractions between 0 and 1, not percentages: use 0.5, 0.9?"
    assert question in texts(app).replace("\\", "")
    app.button(key="offer-sparsities").click()
    app = rerun(app)
    assert app.text_input(key="field-sparsities").value == "0.5, 0.9"
    assert question not in texts(app).replace("\\", "")
    assert "Trainings" in metrics(app)


def test_the_name_and_note_of_a_preset_do_not_stay_when_its_values_change() -> None:
    app = start_from(open_page(PAGE), "small_cifar10")
    name, note = (app.session_state[f"field-{field}"] for field in ("name", "note"))
    assert note
    rates = app.text_input(key="field-learning_rates").value
    app = type_in(type_in(app, "learning_rates", "0.02"), "recipe-epochs", "3")
    assert app.text_input(key="field-name").value == f"{name} (changed)"
    assert app.text_area(key="field-note").value == f"Based on “{name}”, with other learning rates and epochs."
    assert app.button_group(key="start_from").value in (None, [])
    app = type_in(type_in(app, "learning_rates", rates), "recipe-epochs", str(PRESETS[1].study().recipe.epochs))
    assert app.text_area(key="field-note").value == note
    assert app.text_input(key="field-name").value == name
    # What the author wrote stays.
    app.text_area(key="field-note").input("My own words.")
    app = type_in(rerun(app), "seeds", "0, 9")
    assert app.text_area(key="field-note").value == "My own words."
    assert app.text_input(key="field-name").value == f"{name} (changed)"


def test_what_was_in_the_form_can_be_brought_back(study: Study) -> None:
    app = type_in(open_page(PAGE), "seeds", "0, 7")
    assert not [button for button in app.button if button.key == "form_back"]
    app = start_from(app, "toml")
    # Two texts that are pasted in a row, as when typing, are one step.
    app = paste(app, to_toml(study.model_copy(update={"seeds": (5,)})))
    app = paste(app, to_toml(study))
    assert app.text_input(key="field-name").value == "Small study"
    app.button(key="form_back").click()
    app = rerun(app)
    assert app.text_input(key="field-seeds").value == "0, 7"
    app.button(key="form_back").click()
    assert rerun(app).text_input(key="field-name").value == "Small study"


def test_a_folder_without_classes_is_refused_at_its_field(tmp_path: Path) -> None:
    app = type_in(open_page(PAGE), "folder", str(tmp_path))
    assert any(str(tmp_path.name) in item.value.replace("\\", "") for item in app.markdown if ":red[" in item.value)


def test_without_redis_the_page_plans_but_does_not_launch() -> None:
    app = open_page(PAGE)
    assert app.button(key="launch").disabled
    assert "Redis" in texts(app)
    assert "Trainings" in metrics(app)


def test_pasted_toml_fills_in_the_form_at_once(study: Study) -> None:
    app = paste(start_from(open_page(PAGE), "toml"), to_toml(study))
    assert app.text_input(key="field-name").value == "Small study"
    assert app.text_input(key="field-recipe-epochs").value == "4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "**Line 1** (name =): it is not valid TOML"),
        (
            'name = "x"\ndatasets = ["digits"]\nnetworks = ["lenet300"]\nepocs = 3',
            "**Line 4** (epocs = 3): epocs: is no key of a study",
        ),
        ('name = "x"\ndatasets = ["digits"]\nnetworks = ["lenet9"]', "'lenet9' is not a known network"),
    ],
)
def test_faulty_toml_is_explained_and_leaves_the_form_unchanged(text: str, message: str) -> None:
    app = paste(start_from(open_page(PAGE), "toml"), text)
    assert message in app.error[0].value.replace("\\", "")
    assert app.text_area(key="toml_text").value == text
    assert app.text_input(key="field-name").value == PRESETS[0].study().name


def test_a_figure_of_the_paper_fills_the_form_with_its_parts() -> None:
    app = open_page(PAGE, paper="fig1", scale="small", data="paper")
    assert app.text_input(key="field-name").value == "Paper, figure 1 (small)"
    assert "2 parts" in texts(app)
    before = int(metrics(app)["Trainings"])
    app.button(key="parts_drop").click()
    rerun(app)
    assert "2 parts" not in texts(app)
    assert int(metrics(app)["Trainings"]) > before


def test_an_unknown_figure_is_reported_with_the_known_ones() -> None:
    app = open_page(PAGE, paper="fig99")
    assert "fig13" in "".join(error.value for error in app.error)
    assert app.text_input(key="field-name").value == PRESETS[0].study().name


def test_a_chosen_figure_and_scale_fill_the_form() -> None:
    app = start_from(open_page(PAGE), "figure")
    app.selectbox(key="paper_figure").select("fig13")
    rerun(app)
    assert "LeNet" in texts(app) or "lenet300" in texts(app)
    app.button(key="paper_use").click()
    rerun(app)
    assert app.text_input(key="field-name").value == "Paper, figure 13 (small, digits)"
    assert app.text_input(key="field-recipe-epochs").value == "100"
    assert "ticketscope launch paper:fig13 --scale small" in texts(app)
    type_in(app, "seeds", "0")
    assert "ticketscope launch study.toml" in texts(app)


def test_the_plan_states_what_each_round_removes() -> None:
    app = open_page(PAGE)
    assert "90 % removes 80 %" in texts(app).replace("\\", "")
    before = int(metrics(app)["Trainings"])
    app = type_in(app, "round_rate", "0.15")
    assert "50 % in 5 rounds of 12.9 %" in texts(app).replace("\\", "")
    assert int(metrics(app)["Trainings"]) > before
    type_in(app, "round_rate", "1")
    assert any("less than 1" in item.value.replace("\\", "") for item in app.markdown if ":red[" in item.value)


def test_all_warnings_are_shown_beside_the_plan_and_do_not_prevent_it() -> None:
    app = type_in(open_page(PAGE), "sparsities", "0.0004, 0.5")
    app.selectbox(key="field-recipe-augmentation").select("crop")
    text = texts(rerun(app)).replace("\\", "")
    assert "2 things to know before launching" in text
    assert "Augmentation**: images of digits" in text
    assert "Sparsities**: on digits, LeNet-300: 0.04 % removes no weight of fc3.weight (1,000)" in text
    assert "Trainings" in metrics(app)
    text = texts(type_in(app, "learning_rates", "0.1, 0.10000000001")).replace("\\", "")
    assert "all shown as 0.1" in text
    assert "2 things to know before launching" in text
    assert "Trainings" not in metrics(app)


def test_a_new_session_with_the_address_has_what_was_typed(home: Path) -> None:
    app = open_page(PAGE)
    assert dict(app.query_params) == {}
    assert not (home / "drafts").exists()
    type_in(app, "name", "Typed by hand")
    type_in(app, "learning_rates", "0.02, nonsense")
    app.button_group(key="field-starts").set_value(["rewind"])
    rerun(app)
    draft_id = app.query_params["draft"]
    other = open_page(PAGE, draft=draft_id)
    assert other.text_input(key="field-name").value == "Typed by hand"
    assert other.text_input(key="field-learning_rates").value == "0.02, nonsense"
    assert other.button_group(key="field-starts").value == ["rewind"]
    # Two tabs with one address soon have drafts of their own.
    type_in(other, "name", "Of the other tab")
    assert other.query_params["draft"] != draft_id
    assert open_page(PAGE, draft=draft_id).text_input(key="field-name").value == "Typed by hand"


def test_a_draft_of_another_version_and_an_unknown_one_open_the_form(home: Path) -> None:
    demo = PRESETS[0].study()
    draft_id = saved_drafts.new_id()
    saved_drafts.save(home, draft_id, {"name": "Older", "pruners": ["gone", "oneshot"], "scope": "gone", "new": 1})
    app = open_page(PAGE, draft=draft_id)
    assert app.text_input(key="field-name").value == "Older"
    assert app.button_group(key="field-pruners").value == ["oneshot"]
    assert app.text_input(key="field-seeds").value == ", ".join(map(str, demo.seeds))
    assert open_page(PAGE, draft="x" * 22).text_input(key="field-name").value == demo.name


def test_a_long_study_is_launched_only_after_an_answer(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "LONG", 0.0)
    app = open_page(PAGE)
    app.button(key="launch").click()
    app = rerun(app)
    assert not leases.studies(redis)
    assert "This takes long" in texts(app)
    assert "in the artifact store" in texts(app)
    # The question is about the study as it was.
    app = type_in(app, "name", "Another")
    assert "This takes long" not in texts(app)
    app.button(key="launch").click()
    app = rerun(app)
    app.button(key="launch_long_yes").click()
    rerun(app)
    assert len(leases.studies(redis)) == 1


def test_an_equal_study_that_was_just_launched_is_asked_about(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "DOUBLE_CLICK", equal.WITHIN)
    first = launch.launch(PRESETS[0].study())
    app = open_page(PAGE)
    app.button(key="launch").click()
    rerun(app)
    assert "An equal study was launched" in texts(app)
    assert leases.studies(redis) == [first]
    app.button(key="launched_before_again").click()
    rerun(app)
    assert len(leases.studies(redis)) == 2
    # The second of two clicks in a row opens what the first launched.
    app.switch_page(PAGE)
    rerun(app)
    app.button(key="launch").click()
    rerun(app)
    assert "An equal study" not in texts(app)
    assert len(leases.studies(redis)) == 2


@pytest.mark.parametrize("name", ["   ", "\u00a0", "\u200b", "\u3164"])
def test_a_name_in_which_nothing_can_be_seen_is_refused(name: str) -> None:
    app = type_in(open_page(PAGE), "name", name)
    assert app.button(key="launch").disabled
    assert "is empty" in texts(app) or "shows nothing" in texts(app)


def ready_for_folder(images: Path) -> AppTest:
    """Return the page with a study of a folder of images that can be launched."""
    app = open_page(PAGE)
    app.multiselect(key="field-datasets").set_value([])
    for field in ("train_images", "test_images"):
        app.text_input(key=f"field-{field}").input("")
    return type_in(app, "folder", str(images))


def test_a_launch_lists_all_faulty_images_and_the_form_remembers_them(redis: Redis, tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    for name in ("train/dark/3.png", "test/light/1.png"):
        (images / name).write_bytes(b"")
    app = ready_for_folder(images)
    assert "checks that every image of the folder can be trained on" in texts(app)
    app.button(key="launch").click()
    [error] = [item.value.replace("\\", "") for item in rerun(app).error]
    listed = f"2 of the 60 images in {images} cannot be trained on; replace or remove them:"
    assert error.split("  \n") == [listed, "train/dark/3.png is empty", "test/light/1.png is empty"]
    assert leases.studies(redis) == []
    rerun(app)
    [at_field] = [item.value.replace("\\", "") for item in app.markdown if ":material/error:" in item.value]
    assert listed in at_field
    assert "train/dark/3.png is empty" in at_field
    assert app.button(key="launch").disabled
    for name in ("train/dark/3.png", "test/light/1.png"):
        Image.new("L", (8, 8)).save(images / name)
    rerun(app)
    assert not app.button(key="launch").disabled
    app.button(key="launch").click()
    rerun(app)
    assert len(leases.studies(redis)) == 1
    # A plan is cached for some seconds.
    st.cache_resource.clear()
    assert "checks that every image" not in texts(ready_for_folder(images))


def test_names_of_families_and_of_the_hub_are_typed() -> None:
    app = open_page(PAGE)
    app.session_state["field-networks"] = ["wide_resnet10_1", "torchvision:resnet18-small"]
    app = type_in(app, "train_images", "64")
    assert {"wide_resnet10_1", "torchvision:resnet18-small"} <= set(app.multiselect(key="field-networks").options)
    # The page sends the choices back with every further change.
    app = type_in(app, "test_images", "64")
    assert app.multiselect(key="field-networks").value == ["wide_resnet10_1", "torchvision:resnet18-small"]
    assert int(metrics(app)["Trainings"]) > 0
    app.session_state["field-networks"] = ["wide_resnet11_1"]
    app.session_state["field-datasets"] = ["hf:ylecun/mnist"]
    page = texts(rerun(app)).replace("\\", "")
    assert "'wide_resnet11_1' is not a known network; did you mean wide_resnet" in page
    assert "wide_resnet<depth>_<width> (depth 6n + 4 from 10 to 100, width 1 to 20)" in page
    assert "hf:ylecun/mnist is not on this machine yet; download it with: ticketscope fetch hf:ylecun/mnist" in page

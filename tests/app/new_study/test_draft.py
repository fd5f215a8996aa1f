import pytest

from app.new_study.draft import FOLDER, Draft, check, description, draft_of, fields, untrained
from app.new_study.form import LABELS
from app.new_study.presets import PRESETS
from engine.paper import studies
from engine.study.spec import Study, parse_study


@pytest.fixture
def draft(study: Study) -> Draft:
    return draft_of(study)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_survive_the_form_unchanged(preset) -> None:
    study = preset.study()
    assert check(draft_of(study)).study == study


def test_every_field_of_a_study_is_in_the_form_with_a_label_and_help() -> None:
    for name in fields():
        assert name in LABELS
        assert description(name)


def test_folders_and_odd_numbers_survive_the_form(study: Study) -> None:
    odd = parse_study(
        {
            **study.model_dump(),
            "datasets": ["digits", "folder:/a b/c", "folder:/d"],
            "learning_rates": [0.1 + 0.2, 1e-5, 1.0],
            "recipe": {"milestones": [1 / 3, 80 / 150]},
        }
    )
    draft = draft_of(odd)
    assert draft[FOLDER] == "/a b/c"
    assert draft["recipe.milestones"] == "1/3, 8/15"
    assert set(check(draft).study.datasets) == set(odd.datasets)
    assert check(draft).study.recipe == odd.recipe
    assert check(draft).study.learning_rates == odd.learning_rates


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learning_rates", "0.01, abc", "'abc' should be a valid number"),
        ("learning_rates", "0", "greater than 0"),
        ("sparsities", "0.5, 1.2", "less than 1"),
        ("sparsities", "0.9 0.5", "must increase"),
        ("seeds", "1.5", "valid integer"),
        ("overlap_p", "0.33", "steps of 0.05"),
        ("recipe.epochs", "", "is empty; give T"),
        ("recipe.epochs", "many", "valid integer"),
        ("recipe.rewind_epoch", "0", "greater than or equal to 1"),
        ("admm.period", "0", "greater than or equal to 1"),
        ("name", "  ", "is empty; give a name"),
        ("networks", [], "is empty; give one or more"),
        ("datasets", [], "is empty; give one or more"),
    ],
)
def test_errors_are_shown_at_their_field(draft: Draft, field: str, value: object, message: str) -> None:
    checked = check({**draft, field: value})
    assert checked.study is None
    assert list(checked.errors) == [field]
    assert message in checked.errors[field]


def test_a_rewind_after_the_end_is_an_error_of_the_recipe(draft: Draft) -> None:
    assert "after the last epoch" in check({**draft, "recipe.rewind_epoch": "9"}).errors["recipe"]


def test_a_dense_only_study_lists_neither_pruners_nor_starts_nor_sparsities(draft: Draft) -> None:
    assert check({**draft, "pruners": [], "starts": [], "sparsities": ""}).study is not None
    assert "fill all three" in check({**draft, "pruners": []}).errors[""]


def test_all_errors_are_reported_at_once(draft: Draft) -> None:
    assert set(check({**draft, "name": "", "seeds": "x"}).errors) == {"name", "seeds"}


@pytest.mark.parametrize("scale", ["paper", "small"])
@pytest.mark.parametrize("name", ["fig1", "main-fig5", "table1", "all"])
def test_figures_of_the_paper_survive_the_form_unchanged(name: str, scale: str) -> None:
    figure = studies.study(name, scale)
    assert check(draft_of(figure)).study == figure


def test_parts_lose_values_that_the_form_no_longer_lists_and_untrained_values_are_named() -> None:
    values = {"name": "x", "datasets": ["cifar10", "cifar100"], "networks": ["resnet20", "vgg11"]}
    parts = [{"networks": ["resnet20"]}, {"networks": ["vgg11"], "datasets": ["cifar100"]}]
    draft = draft_of(parse_study({**values, "parts": parts}))
    narrowed = check({**draft, "networks": ["vgg11", "lenet300"], "learning_rates": "0.01, 0.3"}).study
    assert [product.networks for product in narrowed.products] == [("vgg11",)]
    # A new value of a field that no part restricts, such as the rate, is trained in all parts.
    assert untrained(narrowed) == {"datasets": ["cifar10"], "networks": ["lenet300"]}
    unrestricted = check({**draft, "networks": ["lenet300"]}).study
    assert unrestricted.products == (unrestricted,)

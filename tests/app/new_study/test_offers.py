import pytest

from app.new_study.draft import check, draft_of
from app.new_study.offers import offer
from app.new_study.presets import PRESETS

DEMO = draft_of(PRESETS[0].study())


@pytest.mark.parametrize(
    ("field", "text", "offered"),
    [
        ("sparsities", "50", "0.5"),
        ("sparsities", "50 %, 90%", "0.5, 0.9"),
        ("sparsities", "0.5, 90", "0.5, 0.9"),
        ("sparsities", "0,5", "0.5"),
        ("sparsities", "90, 50", "0.5, 0.9"),
        ("sparsities", "0.9, 0.5", "0.5, 0.9"),
        ("sparsities", "['50']", "0.5"),
        ("overlap_p", "10; 20", "0.1, 0.2"),
        ("round_rate", "15 %", "0.15"),
        ("recipe.momentum", "0,9", "0.9"),
        ("recipe.momentum", "90", "0.9"),
        ("recipe.weight_decay", "5e-2 %", "0.0005"),
        ("recipe.milestones", "8, 12", "8/15, 12/15"),
        ("recipe.epochs", "10,000", "10000"),
        ("recipe.epochs", "1e2", "100"),
        ("train_images", "1.2k", "1200"),
        ("learning_rates", "0,1; 0,01", "0.1, 0.01"),
        ("learning_rates", "0,1", "0.1"),
        ("learning_rates", "[0.1, 0.01]", "0.1, 0.01"),
        ("learning_rates", "0.1, 0.1, 0.01", "0.1, 0.01"),
        ("learning_rates", "1 %", "0.01"),
        ("seeds", "0-4", "0, 1, 2, 3, 4"),
    ],
)
def test_a_number_written_otherwise_is_offered_as_the_field_accepts_it(field: str, text: str, offered: str) -> None:
    draft = {**DEMO, "recipe.epochs": "15", field: text}
    assert field in check(draft).errors
    found = offer(draft, field)
    assert found is not None
    assert found.text == offered
    assert field not in check({**draft, field: offered}).errors


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("sparsities", "abc"),
        ("sparsities", "100"),
        ("sparsities", "1.2"),
        ("sparsities", "-50"),
        ("learning_rates", "50"),
        ("learning_rates", "nan %"),
        ("recipe.epochs", "0"),
        ("recipe.epochs", "1e400"),
        ("seeds", "0-999999999"),
        ("folder", "50 %"),
        ("name", "  "),
        ("networks", []),
    ],
)
def test_where_nothing_is_known_nothing_is_offered(field: str, text: object) -> None:
    assert offer({**DEMO, field: text}, field) is None


@pytest.mark.parametrize(
    ("field", "text", "values"),
    [
        ("learning_rates", "1e-1", (0.1,)),
        ("learning_rates", "0.1;0.01", (0.1, 0.01)),
        ("learning_rates", "0.1 0.01", (0.1, 0.01)),
        ("learning_rates", "5", (5.0,)),
        ("seeds", "1.0", (1,)),
    ],
)
def test_usual_ways_to_write_numbers_are_understood(field: str, text: str, values: tuple[float, ...]) -> None:
    study = check({**DEMO, field: text}).study
    assert study is not None
    assert getattr(study, field) == values


def test_a_whole_number_may_have_a_decimal_point() -> None:
    assert check({**DEMO, "recipe.epochs": "150.0"}).study.recipe.epochs == 150

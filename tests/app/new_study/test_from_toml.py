import pytest

from app.new_study.from_toml import Fault, faults, lines_of
from engine.study.spec import StudyError, read_study

TEXT = '''name = "x"  # seeds = [0]
note = """
epochs = 3
[recipe]
"""
datasets = ["digits"]
networks = [
    "lenet9",
]
sparsities = [50, 0.5]
colour = "red"

[recipe]
epocs = 3
"batch_size" = 0
  momentum=2

[[parts]]
seeds = [0]

[[parts]]
seeds = []
'''


def found(text: str) -> list[Fault]:
    with pytest.raises(StudyError) as error:
        read_study(text)
    return faults(text, error.value)


def test_every_fault_has_the_line_of_its_key() -> None:
    lines = {fault.message.partition(":")[0]: fault.line for fault in found(TEXT)}
    assert lines == {
        "networks": 7,
        "sparsities": 10,
        "colour": 11,
        "recipe.epocs": 14,
        "recipe.batch_size": 15,
        "recipe.momentum": 16,
        "parts.seeds": 22,
    }
    assert [fault.line for fault in found(TEXT)] == sorted(lines.values())
    [item] = found("name = 'x'\nnetworks = [\n'lenet300',\n'lenet9']\ndatasets=['digits']")
    assert item.line == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('name = "x"\nseeds = [0,,1]', 2),
        ('name = "x"\nname = "y"', 2),
        ('name = "x"\nnote = """never closed', 2),
        ("a: 1\nb: 2", 1),
    ],
)
def test_a_fault_of_syntax_has_its_line(text: str, line: int) -> None:
    [fault] = found(text)
    assert fault.line == line
    assert "at line" not in fault.message


def test_a_missing_key_has_no_line_and_comes_first() -> None:
    first, second = found('datasets = ["digits"]\nnetworks = ["gone"]\nrecipe = {epochs = 0}')[:2]
    assert (first.line, first.message.partition(":")[0]) == (None, "name")
    assert second.line == 2


def test_a_fault_between_parts_has_the_line_of_the_part() -> None:
    parts = "[[parts]]\nseeds = [0]\n\n[[parts]]\nseeds = [7]"
    [fault] = found(f'name = "x"\ndatasets = ["digits"]\nnetworks = ["lenet300"]\nseeds = [0, 1]\n{parts}')
    assert fault.line == 8


@pytest.mark.parametrize(
    "text", ['"""\\' * 50_000, "[" + " " * 190_000, "a." * 95_000, "a" + " " * 190_000, "'''" * 60_001]
)
@pytest.mark.timeout(60)
def test_no_text_makes_the_search_for_lines_slow(text: str) -> None:
    # A search that looked at each pair of letters would take many minutes.
    assert found(text)


def test_a_text_that_is_too_long_is_not_searched() -> None:
    [fault] = found("x" * 300_000)
    assert fault.line is None
    assert "300,000 characters" in fault.message


def test_what_looks_like_a_key_in_a_comment_or_a_text_is_none() -> None:
    assert lines_of('# a = """\nb = \'c = """\'\nc = 1') == {"b": 2, "c": 3}


def test_dotted_keys_and_windows_line_ends_are_read() -> None:
    assert lines_of("a = 1\r\nrecipe . epochs = 2\r\n[ admm ]\r\nrho = 1\r\n")["admm.rho"] == 4
    assert lines_of("recipe.epochs = 2") == {"recipe.epochs": 1}

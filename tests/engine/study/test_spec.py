import re
from pathlib import Path

import pytest

from engine.registry import NETWORKS, PRUNERS, STARTS
from engine.study.spec import Study, StudyError, load_study, parse_study, read_study, to_toml, with_more_seeds
from tests.engine.conftest import plan_of, small_study

MINIMAL = {"name": "minimal", "datasets": ["digits"], "networks": ["lenet300"]}


def refused(**changes: object) -> dict[str, str]:
    with pytest.raises(StudyError) as caught:
        parse_study({**MINIMAL, **changes})
    return caught.value.fields


def test_defaults_are_the_papers_recipe() -> None:
    study = parse_study(MINIMAL)
    recipe = study.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.augmentation) == (150, 128, 0.9, "crop_flip")
    assert study.learning_rates == (0.01, 0.1)
    assert len(study.seeds) == 5
    assert study.overlap_p == (0.1, 0.2, 0.3, 0.4, 0.5)


def test_toml_round_trip(tmp_path: Path) -> None:
    study = parse_study({**MINIMAL, "recipe": {"rewind_epoch": 3, "epochs": 20}, "note": 'quotes " and\nlines'})
    path = tmp_path / "study.toml"
    path.write_text(to_toml(study))
    assert load_study(path) == study


def test_the_demo_study_is_valid() -> None:
    demo = load_study(Path(__file__).parents[3] / "studies" / "demo.toml")
    assert isinstance(demo, Study)
    assert set(demo.learning_rates) == {0.01, 0.1}
    assert {"iterative", "oneshot"} <= set(demo.pruners)
    assert len(demo.seeds) == len(demo.sparsities) == 3
    assert len(demo.starts) == 4


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"sparsities": [1.2]}, "sparsities", "1.2 should be less than 1"),
        ({"sparsities": [0.5, 0.5]}, "sparsities", "must increase"),
        ({"sparsities": [0.9, 0.5]}, "sparsities", "must increase"),
        (
            {"networks": ["resnet21"]},
            "networks",
            f"'resnet21' is not a known network; did you mean resnet32? Allowed: {', '.join(NETWORKS.allowed)}",
        ),
        ({"networks": []}, "networks", "give one or more of resnet20"),
        ({"learning_rates": [0]}, "learning_rates", "0 should be greater than 0"),
        ({"learning_rates": ["abc"]}, "learning_rates", "'abc' should be a valid number"),
        ({"learning_rates": [float("nan")]}, "learning_rates", "finite"),
        (
            {"pruners": ["xyz"]},
            "pruners",
            f"'xyz' is not a known pruner; allowed: {', '.join(sorted(PRUNERS))}",
        ),
        (
            {"starts": ["xyz"]},
            "starts",
            f"'xyz' is not a known start; allowed: {', '.join(sorted(STARTS))}",
        ),
        ({"seeds": [1, 1]}, "seeds", "each value may be listed once"),
        ({"seeds": [-1]}, "seeds", "-1 should be greater than or equal to 0"),
        ({"overlap_p": [0.33]}, "overlap_p", "allowed: 0.05 to 0.95"),
        ({"colour": "red"}, "colour", "is no key of a study; allowed here: name, note"),
        ({"recipe": {"epoch": 3}}, "recipe.epoch", "Allowed here: epochs, batch_size"),
        ({"recipe": {"epochs": 0}}, "recipe.epochs", "give T, epochs per training: 1 to 10,000"),
        ({"recipe": {"epochs": 5, "rewind_epoch": 6}}, "recipe", "allowed: 1 to 5"),
        ({"name": ""}, "name", "1 to 100 characters"),
        ({"train_images": 0}, "train_images", "greater than or equal to 1"),
        ({"starts": []}, "", "starts is empty while pruners and sparsities is not"),
    ],
)
def test_an_error_names_the_field_its_value_and_what_is_allowed(changes, field: str, message: str) -> None:
    fields = refused(**changes)
    assert list(fields) == [field]
    assert message in fields[field]


@pytest.mark.parametrize(
    ("pruners", "admm", "message"),
    [
        (["admm"], {"rho": 0.05}, "rho is 0.05.*lists admm; add admm_constant to the pruners, or leave rho out"),
        (["iterative", "oneshot"], {"rho": 0.05}, "lists iterative, oneshot; add admm_constant"),
        (["admm_constant"], {"rho_start": 0.1}, "rho_start is set.*add admm to the pruners, or leave rho_start out"),
        (["oneshot"], {"rho_start": 0.1, "rho_end": 0.2}, "rho_start and rho_end are set.*lists oneshot"),
        (["admm"], {"rho_start": 0.2, "rho_end": 0.1}, "rho_start 0.2 is above rho_end 0.1; allowed: at most rho_end"),
    ],
)
def test_a_rho_that_no_pruner_uses_is_refused(pruners: list[str], admm: dict[str, float], message: str) -> None:
    assert re.search(message, refused(pruners=pruners, admm=admm)["admm"])


def test_rho_start_and_rho_end_may_be_set_alone_or_to_the_same_value() -> None:
    for admm in ({"rho_start": 0.1}, {"rho_end": 0.1}, {"rho_start": 0.1, "rho_end": 0.1}):
        assert parse_study({**MINIMAL, "pruners": ["admm"], "admm": admm}).admm.model_dump(exclude_unset=True) == admm


def test_a_study_launched_before_rho_could_grow_still_reads() -> None:
    values = {**MINIMAL, "pruners": ["admm"], "admm": {"rho": 0.05}}
    assert parse_study(values, recorded=True).admm.rho == 0.05


def test_every_faulty_field_is_named_at_once() -> None:
    assert set(refused(learning_rates=[0], sparsities=[2], recipe={"momentum": 1})) == {
        "learning_rates",
        "sparsities",
        "recipe.momentum",
    }


def test_the_error_for_a_missing_field_states_what_to_give() -> None:
    with pytest.raises(StudyError, match="networks: is missing; give one or more of resnet20"):
        parse_study({"name": "x", "datasets": ["digits"]})


def test_a_dense_only_study_has_no_pruners_sparsities_or_starts() -> None:
    assert parse_study({**MINIMAL, "starts": [], "pruners": [], "sparsities": []}).starts == ()


def test_a_fraction_off_by_rounding_becomes_the_nearest_allowed_one() -> None:
    assert parse_study({**MINIMAL, "overlap_p": [0.1 + 0.2]}).overlap_p == (0.3,)


def test_the_error_for_an_unreadable_file_states_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study file at .*absent\.toml; give the path of a TOML file"):
        load_study(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(StudyError, match="is not valid TOML"):
        load_study(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match="cannot be read as a study"):
        load_study(broken)
    with pytest.raises(StudyError, match="is no file"):
        load_study(tmp_path)


@pytest.mark.parametrize(("epochs", "k"), [(150, 10), (100, 7), (15, 1), (1, 1)])
def test_rewind_scales_with_the_number_of_epochs(epochs: int, k: int) -> None:
    assert parse_study({**MINIMAL, "recipe": {"epochs": epochs}}).recipe.k == k


def test_parts_restrict_a_study_and_read_back(tmp_path: Path) -> None:
    study = parse_study(
        {
            **MINIMAL,
            "datasets": ["digits", "cifar10"],
            "parts": [
                {"datasets": ["digits"], "starts": ["finetune"]},
                {"datasets": ["cifar10"], "pruners": [], "sparsities": [], "starts": []},
            ],
        }
    )
    digits, cifar = study.products
    assert (digits.datasets, digits.starts, digits.sparsities) == (("digits",), ("finetune",), study.sparsities)
    assert (cifar.datasets, cifar.pruners) == (("cifar10",), ())
    path = tmp_path / "parts.toml"
    path.write_text(to_toml(study))
    assert load_study(path) == study


def test_a_study_without_parts_is_its_own_product() -> None:
    study = parse_study(MINIMAL)
    assert study.products == (study,)
    assert "parts" not in to_toml(study)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"datasets": ["cifar100"]}, "part 1 lists datasets cifar100"),
        ({"seeds": [77]}, "seeds 77"),
        ({"starts": []}, "starts is empty"),
        ({"learning_rates": []}, "at least 1 item"),
        ({"epochs": 3}, "is no key"),
    ],
)
def test_a_faulty_part_is_refused(part: dict[str, object], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        parse_study({**MINIMAL, "parts": [part]})


def test_added_seeds_are_the_smallest_free_ones() -> None:
    study = small_study(seeds=[0, 2], parts=[{"seeds": [2]}, {"learning_rates": [0.05]}])
    more = with_more_seeds(study, 3)
    assert more.seeds == (0, 2, 1, 3, 4)
    assert [part.seeds for part in more.parts] == [(2, 1, 3, 4), None]
    assert more.name == "small (5 seeds)"
    assert with_more_seeds(more, 1).name == "small (6 seeds)"
    # The larger study trains every stage of the smaller one.
    assert plan_of(study).stages.keys() < plan_of(more).stages.keys()
    with pytest.raises(ValueError, match="at least 1, given 0"):
        with_more_seeds(study, 0)
    with pytest.raises(StudyError, match="allowed: 20,000"):
        with_more_seeds(study, 30_000)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfTEXT", b"TEXT", b"TEXT".replace(b"\n", b"\r\n")])
def test_files_of_windows_are_read(tmp_path: Path, content: bytes) -> None:
    text = to_toml(parse_study({**MINIMAL, "name": "caf\u00e9"}))
    file = tmp_path / "study.toml"
    file.write_bytes(content.replace(b"TEXT", text.encode()))
    assert load_study(file) == read_study(file.read_bytes()) == read_study(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('name = "caf\u00e9"'.encode("latin-1"), "line 1 has a byte that is not UTF-8 .0xe9.*save it as UTF-8"),
        ('# one\nname = "\u201cx\u201d\u0080"'.encode("cp1252", "replace"), "line 2 has a byte .*Windows-1252"),
        ('name = "x"'.encode("utf-16"), "UTF-16"),
        ('name = "x"'.encode("utf-16-be"), "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no text at all"),
        (b'{"name": "x"}', "it looks like JSON"),
        (b"name: x\nseeds:\n  - 1\n", "it looks like YAML"),
        ("name = \u201cx\u201d".encode(), "typographic quotes"),
        (b'name = "x"\nseeds = [0\n1]', "line 3"),
        (b"# " + b"x" * 1_000_000, "characters"),
    ],
)
def test_other_texts_are_refused_with_their_cause_by_file_and_upload_alike(
    tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    with pytest.raises(StudyError, match=words):
        load_study(file)
    with pytest.raises(StudyError, match=words):
        read_study(content)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": [0.1]}, "did you mean learning_rates[?] Allowed here"),
        ({"recipe": {"epoch": 3}}, "did you mean epochs[?]"),
        ({"networks": ["ResNet-20"]}, "did you mean resnet20[?] Allowed: "),
        ({"starts": ["winningticket"]}, "did you mean winning_ticket[?]"),
        ({"zzz": 1}, "is no key of a study; allowed here: "),
    ],
)
def test_an_unknown_name_suggests_the_nearest_one(values: dict[str, object], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        parse_study({**MINIMAL, **values})

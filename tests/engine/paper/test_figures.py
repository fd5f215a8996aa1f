from collections.abc import Iterator

import pytest

from engine.paper import figures as paper
from engine.paper.figures import FIGURES, REPORTED, SCALES, Panel, reported
from engine.paper.studies import drawn, scaled, scaling, study
from engine.registry import NETWORKS
from engine.study.plan import Plan, plan
from engine.study.spec import Study, StudyError, load_study, to_toml

# The appendix and the main text number them so.
IDS = {*(f"fig{number}" for number in range(1, 14)), "table1", *(f"main-fig{number}" for number in (2, 4, 5, 6, 7))}


def planned(study: Study) -> Plan:
    return plan(study, {dataset: f"content of {dataset}" for dataset in study.datasets})


def needed(panel: Panel) -> Iterator[tuple[object, ...]]:
    """Yield the trainings that a panel needs, as roles without their seed."""
    for rate in panel.learning_rates:
        yield (panel.dataset, panel.network, rate, None, 0.0, "dense")
        for pruner in panel.pruners:
            for sparsity in panel.sparsities:
                for start in panel.trained:
                    yield (panel.dataset, panel.network, rate, pruner, sparsity, start)


def test_every_figure_and_the_table_are_in_the_catalog() -> None:
    assert set(FIGURES) == IDS
    assert sum(len(figure.rows) for figure in FIGURES.values()) == 39 + 4  # The table's one row counts as five.


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [*FIGURES, "all"])
def test_a_figures_study_trains_what_its_panels_show_and_nothing_else(name: str, scale: str) -> None:
    figures = FIGURES.values() if name == "all" else [FIGURES[name]]
    expected = {role for figure in figures for panel in figure.panels for role in needed(scaled(panel, scale))}
    roles = planned(study(name, scale)).roles
    trained = {(r.dataset, r.network, r.learning_rate, r.pruner, r.sparsity, r.start) for r in roles}
    # A study trains every start of a pruner at each of its learning rates, and a panel asks for all of them.
    assert trained == expected
    assert len({role.seed for role in roles}) == (5 if scale == "paper" else 3)


def test_the_papers_recipe_is_the_papers() -> None:
    for figure in FIGURES.values():
        recipe = study(figure.id).recipe
        assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.k) == (150, 128, 0.9, 10)
        assert [round(fraction * 150) for fraction in recipe.milestones] == [80, 120]
        assert recipe.augmentation == "crop_flip"


def test_panels_have_the_sparsities_of_their_figures() -> None:
    for figure in FIGURES.values():
        for panel in figure.panels:
            if panel.quantity == "accuracy":
                assert panel.sparsities == tuple(round(1 - 0.85**i + 1e-9, 3) for i in range(1, 13))
            elif panel.quantity == "start_overlap":
                assert (panel.sparsities, panel.ps) == ((0.3, 0.5, 0.7), (0.2,))
            elif panel.quantity == "ancestor_overlap":
                assert (panel.sparsities, panel.ps) == ((0.5,), (0.2,))
            else:
                assert panel.ps == (0.1, 0.2, 0.3, 0.4, 0.5)


def test_figures_share_work() -> None:
    separately = sum(len(planned(study(figure.id)).stages) for figure in FIGURES.values())
    together = len(planned(study("all")).stages)
    assert together < 0.6 * separately
    everything = planned(study("all")).stages.keys()
    assert all(planned(study(figure.id)).stages.keys() <= everything for figure in FIGURES.values())


def test_panels_can_be_named() -> None:
    assert {r.learning_rate for r in planned(study("fig4:a")).roles} == {0.01}
    assert {r.pruner for r in planned(study("fig7:b")).roles} == {None, "admm"}
    both = planned(study("fig5:cd"))
    assert {r.dataset for r in both.roles} == {"cifar100"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("fig14", "fig13"), ("", "table1"), ("fig1:z", "a, b"), ("table1:a", "leave it out"), ("all:a", "fig1")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        study(name)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(StudyError, match="paper, small"):
        study("fig1", "medium")


@pytest.mark.parametrize("data", [None, "digits", "paper", "folder:/some/where"])
def test_the_small_scale_states_how_it_departs_from_the_paper(data: str | None) -> None:
    note = " ".join(scaling("small", data))
    small = study("fig7", "small", data)
    assert f"epochs {small.recipe.epochs}" in note
    assert f"{len(small.seeds)} seeds instead of 5" in note
    assert all(dataset in note for dataset in small.datasets if data != "paper")
    assert note in small.note
    assert scaling("paper") == ()
    assert "folder:/x" in " ".join(scaling("paper", "folder:/x"))


def test_a_study_of_the_paper_reads_back_from_toml(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("toml")
    for name in (*FIGURES, "all"):
        for scale in SCALES:
            path = folder / f"{name}-{scale}.toml"
            path.write_text(to_toml(study(name, scale)))
            assert load_study(path) == study(name, scale)


def test_a_study_of_a_long_folder_has_a_valid_name() -> None:
    assert len(study("main-fig2", "small", f"folder:/{'x' * 200}").name) <= 100


def test_every_stated_number_belongs_to_a_figure() -> None:
    assert len(REPORTED) == 22
    numbers = [number for figure in FIGURES.values() for number in reported(figure)]
    assert set(REPORTED) == set(numbers)
    assert {number.quantity for number in reported(FIGURES["table1"])} == {"finetuned_initial", "finetuned_pretrained"}
    assert {number.network for number in REPORTED} <= set(NETWORKS)


def test_the_catalog_is_read_from_its_file() -> None:
    text = (paper.Path(paper.__file__).with_suffix(".toml")).read_text()
    assert all(f"[figures.{name}]" in text for name in FIGURES)


def test_panels_are_distinguished_by_their_runs_at_a_scale() -> None:
    panels = FIGURES["fig1"].panels
    assert drawn(panels) == [(panel, (panel,)) for panel in panels]
    low, high = drawn(panels, "small")
    assert (low[0].label, high[0].label) == ("a, c, e, g", "b, d, f, h")
    assert low[1] == panels[::2]
    assert (low[0].network, low[0].dataset) == ("lenet300", "digits")
    # On the paper's data the networks differ, so that each panel has its own runs at small scale too.
    assert len(drawn(panels, "small", "paper")) == len(panels)

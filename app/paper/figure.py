"""One figure of the paper, drawn from our own runs as the paper lays it out, with its numbers and verdicts."""

from functools import partial

import streamlit as st

from app import words
from app.charts.palette import Look
from app.charts.picture import Legend
from app.charts.points import Spread, band
from app.charts.saving import Saving, file_name
from app.components import chart, divergence, verdict_cards, verdict_tables
from app.new_study import launch
from app.new_study.preview import outlook
from app.paper import numbers as figure_numbers
from app.paper import overview, panel_chart, panels
from app.paper import runs as figure_data
from app.paper.panels import Drawn
from app.paper.runs import Runs, Settings
from app.state import live, queries
from data.artifacts.store import ArtifactError
from engine.paper import figures, studies
from engine.paper.figures import Figure
from engine.study.spec import StudyError, to_toml
from tasks.studies.catalog import arguments
from tasks.studies.planning import number_of_test_images

REFRESH = 3.0


def page(figure: Figure, chosen: Settings) -> None:
    """Draw the page of a figure."""
    st.page_link("views/paper.py", label="All figures", icon=":material/arrow_back:", query_params=chosen.query)
    st.title(figure.title, anchor=False)
    st.caption(f"{figure.section} · {overview.panels_words(figure)}")
    st.markdown(words.plain(figure.about))
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = overview.choose(chosen, "figure")
        departs = studies.scaling(chosen.scale, chosen.data)
        if departs:
            st.markdown(f":orange-badge[scaled] {words.plain(' '.join(departs))}")
        # A table has no bands.
        spread = "sd" if _is_table(figure) else chart.spread_choice("figure_spread")
    with right, st.container(border=True, key="figure_plan"):
        _launch(figure, chosen)
    moving = bool((~queries.studies()["state"].isin(queries.FINISHED)).any()) if queries.exists() else False
    st.fragment(_body, run_every=REFRESH if moving else None)(figure, chosen, spread)


def _launch(figure: Figure, chosen: Settings) -> None:
    """Show what the figure, or one of its panels, takes, and launch it."""
    labels = [panel.label for panel in figure.panels if panel.label]
    name = figure.id
    if len(labels) > 1:
        whole = "whole figure"
        picked = st.selectbox("Launch", [whole, *(f"panel {label}" for label in labels)], key="figure_part")
        name = figure.id if picked == whole else f"{figure.id}:{picked.removeprefix('panel ')}"
    wanted = figure_data.study(name, chosen)
    try:
        found = outlook(to_toml(wanted))
    except ArtifactError as error:
        st.error(words.plain(str(error)))
        return
    except StudyError as error:
        # Such as more images than a folder holds: the form is where that is mended.
        st.error(words.plain(str(error)))
        _adjust(name, chosen)
        return
    launch.plan_numbers(found)
    launch.warnings(found.warnings)
    _, trouble = live.workers()
    with st.container(horizontal=True):
        if st.button(
            "Launch", type="primary", icon=":material/rocket_launch:", key="launch_figure", disabled=trouble is not None
        ):
            launch.start(wanted)
        _adjust(name, chosen)
    if trouble is not None:
        st.markdown(f":small[:red[{words.plain(trouble)}]]")
    if chosen.like is None:
        command = f"python -m tasks launch {arguments(name, chosen.scale, chosen.data)}"
        # In a line of text: what colours code would have to be loaded before the charts.
        st.markdown(f":small[{words.code(command)}]")


def _adjust(name: str, chosen: Settings) -> None:
    """Show the button that fills the form in, for settings that the catalogue has."""
    if chosen.like is None and st.button("Adjust first", icon=":material/tune:", key="adjust_figure"):
        query = {"paper": name, "scale": chosen.scale, **({"data": chosen.data} if chosen.data else {})}
        st.switch_page("views/new_study.py", query_params=query)


def _body(figure: Figure, chosen: Settings, spread: Spread) -> None:
    """Draw what changes while trainings run: the panels, the numbers and the verdicts."""
    runs = figure_data.runs(figure, chosen)
    st.progress(runs.done / max(1, runs.asked), text=f"{runs.done:,} of {words.plural(runs.asked, 'training')} done")
    divergence.note(runs.diverged)
    if not runs.done:
        st.info("Nothing of this figure is trained under these settings yet. Launch it, or choose other settings.")
    if _is_table(figure):
        _table(runs, figure, chosen)
    else:
        _panels(figure, chosen, spread)
        _stated(runs, figure, chosen)
    _verdicts(runs, figure, chosen)


def _panels(figure: Figure, chosen: Settings, spread: Spread) -> None:
    previous: list[Look] = []
    drawn = panels.panels(figure.id, chosen, spread)
    for quantity in dict.fromkeys(one.panel.quantity for one in drawn):
        group = [one for one in drawn if one.panel.quantity == quantity]
        looks = panel_chart.looks(group[0].panel)
        if looks != previous:
            chart.legend_row(looks, band(spread))
            previous = looks

        def cell(index: int, group: list[Drawn] = group, looks: list[Look] = looks) -> None:
            one = group[index]
            st.markdown(f"**{one.caption}**  \n:gray[:small[{words.plain(one.standing)}]]")
            if one.chart is None:
                st.caption("Nothing of this panel has finished yet.")
                return
            title = f"{figure.title}, {one.caption}"
            name = file_name("paper", figure.id, one.panel.label, one.panel.network, one.panel.dataset)
            numbers = partial(panel_chart.numbers, one.rows, one.panel, spread)
            saving = Saving(name, title.replace("\\", ""), numbers, figure.about, Legend(tuple(looks), band(spread)))
            chart.show(one.chart, f"figure-panel-{one.panel.quantity}-{index}", f"{title}.", saving)

        chart.grid(len(group), 3 if len(group) == 3 else 2, cell)


def _is_table(figure: Figure) -> bool:
    return figure.panels[0].quantity == "ancestor_overlap"


def _table(runs: Runs, figure: Figure, chosen: Settings) -> None:
    """Draw the paper's table as the paper has it, a row per network and dataset, then its values beside ours."""
    one = figure.panels[0]
    p = one.ps[0]
    st.markdown(
        rf"**Overlap ratio in percent** of the fine-tuned network $(\theta_T\odot m)_T$ at p = {p:g}, "
        f"{words.pruner(one.pruners[0])}, {words.percent(one.sparsities[0])} sparsity  \n"
        f":gray[:small[mean ± standard deviation over n seeds; independent weights give {words.percent(p)}]]"
    )
    st.caption(figure_numbers.against_the_mask(figure, p, one.sparsities[0]))
    with st.container(key="figure_table"):
        rows = figure_numbers.as_in_paper(
            figures.reported(figure), runs.accuracy, runs.pooled, chosen.scale, chosen.data
        )
        chart.table(rows, "figure_table_frame")
    _stated(runs, figure, chosen)


def _stated(runs: Runs, figure: Figure, chosen: Settings) -> None:
    numbers = figures.reported(figure)
    if not numbers:
        return
    st.subheader("The paper's numbers and ours", anchor=False)
    scaled = bool(studies.scaling(chosen.scale, chosen.data)) or chosen.like is not None
    if scaled:
        st.markdown(":orange-badge[scaled] The differences compare other data or another recipe with the paper's.")
    with st.container(key="stated_table"):
        table = figure_numbers.table(numbers, runs.accuracy, runs.pooled, chosen.scale, chosen.data)
        chart.table(table, "stated_frame")
    st.caption("The interval is that of our mean; the paper gives no spread for its own.")


def _verdicts(runs: Runs, figure: Figure, chosen: Settings) -> None:
    st.subheader("Verdicts", anchor=False)
    if not runs.verdicts:
        st.markdown(f":gray[On {words.listing(list(figure.claims))}, as soon as there are runs.]")
        return
    wanted = figure_data.study(figure.id, chosen)
    images = {number_of_test_images(wanted, dataset) for dataset in wanted.datasets}
    over = verdict_tables.over_seeds(images.pop() if len(images) == 1 else None)
    st.caption(f"{verdict_tables.recipe_words(wanted)} {over} {verdict_tables.by_chance(runs.verdicts)}")
    verdict_cards.show(runs.verdicts, f"figure-{figure.id}", shared=())

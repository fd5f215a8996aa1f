"""One figure of the paper, drawn from our own runs as the paper lays it out, with its numbers and verdicts."""

import streamlit as st

from app import words
from app.charts.picture import NO_LEGEND
from app.charts.points import Spread
from app.components import chart, divergence, verdict_cards, verdict_tables
from app.new_study import launch
from app.new_study.preview import preview_plan
from app.paper import numbers, overview, panel_chart, panels, runs
from app.paper.panels import FigurePanel
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
    """Show the plan of the figure, or of one of its panels, and launch it."""
    labels = [panel.label for panel in figure.panels if panel.label]
    name = figure.id
    if len(labels) > 1:
        whole = "whole figure"
        picked = st.selectbox("Launch", [whole, *(f"panel {label}" for label in labels)], key="figure_part")
        name = figure.id if picked == whole else f"{figure.id}:{picked.removeprefix('panel ')}"
    wanted = runs.study(name, chosen)
    try:
        plan = preview_plan(to_toml(wanted))
    except ArtifactError as error:
        st.error(words.plain(str(error)))
        return
    except StudyError as error:
        # For example more images than a folder holds, which the form can correct.
        st.error(words.plain(str(error)))
        _adjust(name, chosen)
        return
    launch.plan_numbers(plan)
    launch.warnings(plan.warnings)
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
    trained = runs.trained(figure, chosen)
    done, requested = trained.done, trained.requested
    st.progress(done / max(1, requested), text=f"{done:,} of {words.plural(requested, 'training')} done")
    divergence.note(trained.diverged)
    if not done:
        st.info("No run of this figure is trained under these settings yet. Launch it, or choose other settings.")
    if _is_table(figure):
        _table(trained, figure, chosen)
    else:
        _panels(figure, chosen, spread)
        _stated(trained, figure, chosen)
    _verdicts(trained, figure, chosen)


def _panels(figure: Figure, chosen: Settings, spread: Spread) -> None:
    legend = NO_LEGEND
    made = panels.panels(figure.id, chosen, spread)
    for quantity in dict.fromkeys(one.panel.quantity for one in made):
        group = [one for one in made if one.panel.quantity == quantity]
        first = panel_chart.legend(group[0].panel, spread)
        if first != legend:
            chart.legend_row(first.looks, first.bands)
            legend = first

        def cell(index: int, group: list[FigurePanel] = group) -> None:
            one = group[index]
            if one.chart is None:
                chart.caption(one.caption)
                st.caption("No run of this panel is done yet.")
            else:
                chart.show(one.chart, f"figure-panel-{one.panel.quantity}-{index}")

        chart.grid(len(group), 3 if len(group) == 3 else 2, cell)


def _is_table(figure: Figure) -> bool:
    return figure.panels[0].quantity == "ancestor_overlap"


def _table(trained: Runs, figure: Figure, chosen: Settings) -> None:
    """Draw the paper's table as the paper has it, a row per network and dataset, then its values beside ours."""
    one = figure.panels[0]
    p = one.ps[0]
    st.markdown(
        rf"**Overlap ratio in percent** of the fine-tuned network $(\theta_T\odot m)_T$ at p = {p:g}, "
        f"{words.pruner(one.pruners[0])}, {words.percent(one.sparsities[0])} sparsity  \n"
        f":gray[:small[mean ± standard deviation over n seeds; independent weights give {words.percent(p)}]]"
    )
    st.caption(numbers.against_the_mask(figure, p, one.sparsities[0]))
    with st.container(key="figure_table"):
        rows = numbers.as_in_paper(
            figures.reported(figure), trained.accuracy, trained.pooled, chosen.scale, chosen.data
        )
        chart.table(rows, "figure_table_frame")
    _stated(trained, figure, chosen)


def _stated(trained: Runs, figure: Figure, chosen: Settings) -> None:
    stated = figures.reported(figure)
    if not stated:
        return
    st.subheader("The paper's numbers and ours", anchor=False)
    scaled = bool(studies.scaling(chosen.scale, chosen.data)) or chosen.like is not None
    if scaled:
        st.markdown(":orange-badge[scaled] The differences compare other data or another recipe with the paper's.")
    with st.container(key="stated_table"):
        table = numbers.table(stated, trained.accuracy, trained.pooled, chosen.scale, chosen.data)
        chart.table(table, "stated_frame")
    st.caption("The interval is that of our mean; the paper gives no spread for its own.")


def _verdicts(trained: Runs, figure: Figure, chosen: Settings) -> None:
    st.subheader("Verdicts", anchor=False)
    if not trained.verdicts:
        st.markdown(f":gray[On {words.listing(list(figure.claims))}, as soon as there are runs.]")
        return
    wanted = runs.study(figure.id, chosen)
    images = {number_of_test_images(wanted, dataset) for dataset in wanted.datasets}
    over = verdict_tables.over_seeds(images.pop() if len(images) == 1 else None)
    st.caption(f"{verdict_tables.recipe_words(wanted)} {over} {verdict_tables.by_chance(trained.verdicts)}")
    verdict_cards.show(trained.verdicts, f"figure-{figure.id}", shared=())

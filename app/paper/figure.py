"""The page of one figure of the paper, drawn from our own runs, with its numbers and verdicts."""

import streamlit as st

from app import words
from app.charts.picture import NO_LEGEND
from app.charts.points import Spread
from app.components import chart, divergence, verdict_cards, verdict_tables
from app.guide.prose import prose
from app.new_study import launch
from app.new_study.preview import preview_plan
from app.paper import numbers, overview, panel_chart, panels, runs
from app.paper.panels import FigurePanel
from app.paper.runs import FigureSettings, Runs
from app.state import audience, live, queries
from data.artifacts.store import ArtifactError
from engine.paper import figures, studies
from engine.paper.figures import Figure
from engine.study.spec import StudyError, to_toml
from tasks.studies.catalog import arguments
from tasks.studies.planning import number_of_test_images

REFRESH = 3.0


def page(figure: Figure, chosen: FigureSettings) -> None:
    """Draw the page of a figure."""
    with st.container(key="back"):
        st.page_link("views/paper.py", label="All figures", icon=":material/arrow_back:", query_params=chosen.query)
    st.title(figure.title, anchor=False)
    st.caption(f"{figure.section} · {overview.panels_words(figure)}")
    st.markdown(prose(figure.about))
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = overview.choose(chosen, "figure")
        # A table has no bands.
        spread = "sd" if _is_table(figure) else chart.spread_choice("figure_spread")
    with right, st.container(border=True, key="figure_plan"):
        _launch(figure, chosen)
    unfinished = bool((~queries.studies()["state"].isin(queries.FINISHED)).any()) if queries.exists() else False
    st.fragment(_body, run_every=REFRESH if unfinished else None)(figure, chosen, spread)


def _launch(figure: Figure, chosen: FigureSettings) -> None:
    """Show the plan of the figure, or of one of its panels, and launch it."""
    # Panels with the same runs would be launched as the same study.
    labels = [panel.label for panel, _ in studies.drawn(figure.panels, chosen.scale, chosen.data) if panel.label]
    name = figure.id
    if len(labels) > 1:
        whole = "whole figure"
        selected = st.selectbox("Launch", [whole, *(f"panel {label}" for label in labels)], key="figure_part")
        first = selected.removeprefix("panel ").partition(",")[0]
        name = figure.id if selected == whole else f"{figure.id}:{first}"
    study = runs.study(name, chosen)
    try:
        plan = preview_plan(to_toml(study))
    except (ArtifactError, StudyError) as error:
        st.error(words.plain(str(error)))
        # The form can correct a study, for example one that asks for more images than a folder holds.
        if isinstance(error, StudyError):
            _adjust(name, chosen)
        return
    launch.plan_numbers(plan)
    launch.warnings(plan.warnings)
    _, trouble = live.workers()
    with st.container(horizontal=True):
        if st.button(
            "Launch", type="primary", icon=":material/rocket_launch:", key="launch_figure", disabled=trouble is not None
        ):
            launch.request(study, plan)
        _adjust(name, chosen)
    launch.questions(study, plan)
    if trouble is not None:
        st.markdown(f":small[:red[{words.plain(trouble)}]]")
    if chosen.like is None:
        command = f"ticketscope launch {arguments(name, chosen.scale, chosen.data)}"
        # As a code block, the command would load a highlighter before the charts.
        st.markdown(f":small[{words.code(command)}]")


def _adjust(name: str, chosen: FigureSettings) -> None:
    """Show the button that fills the form in, which needs settings without the recipe of a launched study."""
    if chosen.like is None and st.button("Adjust first", icon=":material/tune:", key="adjust_figure"):
        query = {"paper": name, "scale": chosen.scale, **({"data": chosen.data} if chosen.data else {})}
        st.switch_page("views/new_study.py", query_params=query)


@audience.database_errors()
def _body(figure: Figure, chosen: FigureSettings, spread: Spread) -> None:
    """Draw the panels, the numbers and the verdicts, which change while trainings run."""
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


def _panels(figure: Figure, chosen: FigureSettings, spread: Spread) -> None:
    if text := panels.once(figure, chosen):
        st.caption(prose(text))
    legend = NO_LEGEND
    figure_panels = panels.panels(figure.id, chosen, spread)
    for quantity in dict.fromkeys(item.panel.quantity for item in figure_panels):
        group = [item for item in figure_panels if item.panel.quantity == quantity]
        group_legend = panel_chart.legend(group[0].panel, spread)
        if group_legend != legend:
            legend = group_legend
            chart.legend_row(legend.looks, legend.bands)

        def cell(index: int, group: list[FigurePanel] = group) -> None:
            caption, panel = group[index].caption, group[index].chart
            if panel is None:
                chart.caption(caption)
                st.caption("No run of this panel is done yet.")
            else:
                chart.show(panel, f"figure-panel-{group[index].panel.quantity}-{index}")

        chart.grid(len(group), 3 if len(group) == 3 else 2, cell)


def _is_table(figure: Figure) -> bool:
    return figure.panels[0].quantity == "ancestor_overlap"


def _table(trained: Runs, figure: Figure, chosen: FigureSettings) -> None:
    """Draw our values in the form of the paper's table, then the paper's values beside ours."""
    panel = figure.panels[0]
    p = panel.ps[0]
    st.markdown(
        rf"**Overlap ratio in percent** of the fine-tuned network $(\theta_T\odot m)_T$ at p = {p:g}, "
        f"{words.pruner(panel.pruners[0])}, {words.percent(panel.sparsities[0])} sparsity  \n"
        f":gray[:small[mean ± standard deviation over n seeds; independent weights give {words.percent(p)}]]"
    )
    st.caption(numbers.against_the_mask(figure, p, panel.sparsities[0]))
    if text := panels.once(figure, chosen):
        st.caption(prose(text))
    with st.container(key="figure_table"):
        rows = numbers.as_in_paper(
            figures.reported(figure), trained.accuracy, trained.pooled, chosen.scale, chosen.data
        )
        chart.table(rows, "figure_table_frame")
    _stated(trained, figure, chosen)


def _stated(trained: Runs, figure: Figure, chosen: FigureSettings) -> None:
    stated = figures.reported(figure)
    if not stated:
        return
    st.header("The paper's numbers and ours", anchor=False)
    overview.stated_table(
        numbers.table(stated, trained.accuracy, trained.pooled, chosen.scale, chosen.data, chosen.is_paper), chosen
    )


def _verdicts(trained: Runs, figure: Figure, chosen: FigureSettings) -> None:
    st.header("Verdicts", anchor=False)
    if not trained.verdicts:
        st.markdown(f":gray[Verdicts on {words.listing(list(figure.claims))} appear as soon as runs are done.]")
        return
    study = runs.study(figure.id, chosen)
    images = {number_of_test_images(study, dataset) for dataset in study.datasets}
    over_seeds = verdict_tables.over_seeds(images.pop() if len(images) == 1 else None)
    st.caption(f"{verdict_tables.recipe_words(study)} {over_seeds} {verdict_tables.by_chance(trained.verdicts)}")
    verdict_cards.show(trained.verdicts, f"figure-{figure.id}", shared=())

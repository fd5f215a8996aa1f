"""One figure of the paper, drawn from our own runs as the paper lays it out, with its numbers and verdicts."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from app import (
    charts_figure,
    drawing,
    figure_data,
    figure_numbers,
    launching,
    live,
    paper_overview,
    reading,
    verdict_cards,
    verdict_tables,
    words,
)
from app.export_chart import Saving, file_name
from app.export_picture import Legend
from app.figure_data import Runs, Settings
from app.outlook import outlook
from app.palette import Look
from app.spread import Spread, band
from data.artifacts import ArtifactError
from engine import paper
from engine.paper import Figure, Panel, Reported
from engine.spec import to_toml
from tasks.catalogue import arguments

REFRESH = 3.0


def page(figure: Figure, chosen: Settings) -> None:
    """Draw the page of a figure."""
    st.page_link("views/paper.py", label="All figures", icon=":material/arrow_back:", query_params=chosen.query)
    st.title(figure.title, anchor=False)
    st.caption(f"{figure.section} · {paper_overview.panels_words(figure)}")
    st.markdown(words.plain(figure.about))
    left, right = st.columns([3, 2], gap="large")
    with left:
        chosen = paper_overview.choose(chosen, "figure")
        departs = paper.scaling(chosen.scale, chosen.data)
        if departs:
            st.markdown(f":orange-badge[scaled] {words.plain(' '.join(departs))}")
        # A table has no bands.
        spread = "sd" if _is_table(figure) else drawing.spread_choice("figure_spread")
    with right, st.container(border=True, key="figure_plan"):
        _launch(figure, chosen)
    moving = bool((~reading.studies()["state"].isin(reading.FINISHED)).any()) if reading.exists() else False
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
        st.error(str(error))
        return
    launching.plan_numbers(found)
    _, trouble = live.workers()
    with st.container(horizontal=True):
        if st.button(
            "Launch", type="primary", icon=":material/rocket_launch:", key="launch_figure", disabled=trouble is not None
        ):
            launching.start(wanted)
        if chosen.like is None and st.button("Adjust first", icon=":material/tune:", key="adjust_figure"):
            query = {"paper": name, "scale": chosen.scale, **({"data": chosen.data} if chosen.data else {})}
            st.switch_page("views/new_study.py", query_params=query)
    if trouble is not None:
        st.markdown(f":small[:red[{words.plain(trouble)}]]")
    if chosen.like is None:
        command = f"python -m tasks launch {arguments(name, chosen.scale, chosen.data)}"
        # In a line of text: what colours code would have to be loaded before the charts.
        st.markdown(f":small[`{command}`]")


def _body(figure: Figure, chosen: Settings, spread: Spread) -> None:
    """Draw what changes while trainings run: the panels, the numbers and the verdicts."""
    runs = figure_data.runs(figure, chosen)
    st.progress(runs.done / max(1, runs.asked), text=f"{runs.done:,} of {words.plural(runs.asked, 'training')} done")
    if not runs.done:
        st.info("Nothing of this figure is trained under these settings yet. Launch it, or choose other settings.")
    panels = [paper.scaled(panel, chosen.scale, chosen.data) for panel in figure.panels]
    if _is_table(figure):
        _table(runs, figure, chosen)
    else:
        _panels(runs, figure, list(zip(panels, figure.panels, strict=True)), chosen, spread)
        _stated(runs, figure, chosen)
    _verdicts(runs, figure, chosen)


def _panels(runs: Runs, figure: Figure, panels: list[tuple[Panel, Panel]], chosen: Settings, spread: Spread) -> None:
    """Draw panels, each given as it is trained here and as the paper has it."""
    at_scale = not paper.scaling(chosen.scale, chosen.data) and chosen.like is None
    previous: list[Look] = []
    for quantity in dict.fromkeys(panel.quantity for panel, _ in panels):
        group = [pair for pair in panels if pair[0].quantity == quantity]
        looks = charts_figure.looks(group[0][0])
        if looks != previous:
            drawing.legend_row(looks, band(spread))
            previous = looks

        def cell(index: int, group: list[tuple[Panel, Panel]] = group, looks: list[Look] = looks) -> None:
            panel, original = group[index]
            st.markdown(f"**{_caption(panel)}**  \n:gray[:small[{words.plain(_standing(runs, panel, original))}]]")
            rows = charts_figure.rows_of(runs.accuracy if panel.quantity == "accuracy" else runs.pooled, panel)
            if rows.empty:
                st.caption("Nothing of this panel has finished yet.")
                return
            stated = [n for n in paper.reported(figure) if at_scale and _on(original, n)]
            chart = _chart(runs, rows, panel, [like for like, _ in group if _compared(like, panel)], spread, stated)
            key = f"figure-panel-{panel.quantity}-{index}"
            title = f"{figure.title}, {_caption(panel)}"
            name = file_name("paper", figure.id, panel.label, panel.network, panel.dataset)
            told = Legend(tuple(looks), band(spread))
            numbers = partial(charts_figure.numbers, rows, panel, spread)
            saving = Saving(name, title.replace("\\", ""), numbers, figure.about, told)
            drawing.show(chart, key, f"{title}.", saving)

        drawing.grid(len(group), 3 if len(group) == 3 else 2, cell)


def _chart(
    runs: Runs,
    rows: pd.DataFrame,
    panel: Panel,
    like: Sequence[Panel],
    spread: Spread,
    stated: Sequence[Reported],
) -> drawing.Spec:
    """Return the chart of a panel's rows, on one accuracy axis with those like it."""
    if panel.quantity == "accuracy":
        y = charts_figure.domain([charts_figure.rows_of(runs.accuracy, other) for other in like], spread)
        return charts_figure.accuracy(rows, panel, spread, y, stated)
    draw = charts_figure.retention if panel.quantity == "retention" else charts_figure.start_overlap
    return drawing.spec(draw(rows, panel, spread))


def _compared(one: Panel, other: Panel) -> bool:
    """Return whether two panels share their accuracy axis: those of one network and dataset do."""
    return (one.dataset, one.network) == (other.dataset, other.network)


def _on(panel: Panel, number: Reported) -> bool:
    same = (panel.dataset, panel.network) == (number.dataset, number.network)
    started = number.start == "dense" or (number.start in panel.starts and number.pruner in panel.pruners)
    return same and number.quantity == "accuracy" and number.learning_rate in panel.learning_rates and started


def _caption(panel: Panel) -> str:
    parts = [words.place(panel.network, panel.dataset)]
    if len(panel.learning_rates) == 1:
        parts.append(f"learning rate {words.number(panel.learning_rates[0])}")
    if len(panel.pruners) == 1:
        parts.append(words.pruner(panel.pruners[0]))
    told = words.plain(", ".join(parts))
    return f"({panel.label}) {told}" if panel.label else told


def _standing(runs: Runs, panel: Panel, original: Panel) -> str:
    """Return what panel of the paper a scaled one stands for, how many seeds it has, and its dense accuracy."""
    told = []
    if (panel.network, panel.dataset) != (original.network, original.dataset):
        told.append(f"for {words.place(original.network, original.dataset)}")
    rows = charts_figure.rows_of(runs.accuracy, panel)
    drawn = rows if rows.empty or not panel.trained else rows[rows["start"] != "dense"]
    if drawn.empty:
        return " · ".join([*told, "not trained yet"])
    seeds = drawn.groupby("seed").size()
    told.append(words.plural(int((seeds == seeds.max()).sum()), "seed"))
    dense = rows[rows["start"] == "dense"]["test_accuracy"]
    if panel.dense and len(panel.learning_rates) == 1 and len(dense):
        told.append(f"dense {dense.mean():.2f} % (n = {len(dense)})")
    return " · ".join(told)


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
    with st.container(key="figure_table"):
        rows = figure_numbers.as_in_paper(paper.reported(figure), runs.accuracy, runs.pooled, chosen.scale, chosen.data)
        drawing.table(rows, "figure_table_frame")
    _stated(runs, figure, chosen)


def _stated(runs: Runs, figure: Figure, chosen: Settings) -> None:
    numbers = paper.reported(figure)
    if not numbers:
        return
    st.subheader("The paper's numbers and ours", anchor=False)
    scaled = bool(paper.scaling(chosen.scale, chosen.data)) or chosen.like is not None
    if scaled:
        st.markdown(":orange-badge[scaled] The differences compare other data or another recipe with the paper's.")
    with st.container(key="stated_table"):
        table = figure_numbers.table(numbers, runs.accuracy, runs.pooled, chosen.scale, chosen.data)
        drawing.table(table, "stated_frame")
    st.caption("The interval is that of our mean; the paper gives no spread for its own.")


def _verdicts(runs: Runs, figure: Figure, chosen: Settings) -> None:
    st.subheader("Verdicts", anchor=False)
    if not runs.verdicts:
        st.markdown(f":gray[On {words.listing(list(figure.claims))}, as soon as there are runs.]")
        return
    st.caption(verdict_tables.recipe_words(figure_data.study(figure.id, chosen)))
    verdict_cards.show(runs.verdicts, f"figure-{figure.id}", shared=())

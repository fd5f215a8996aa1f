"""The overview of the paper: a card for each figure, the launch of all figures, and all numbers that it states."""

from collections.abc import Callable
from functools import lru_cache

import pandas as pd
import streamlit as st

from app import words
from app.components import chart, dialogs, verdict_cards
from app.guide.prose import prose
from app.new_study import form, launch
from app.new_study.preview import preview_plan
from app.paper import numbers, panels, runs, thumbnail
from app.paper.runs import CATALOGUE, FigureSettings
from app.state import audience, live
from data.artifacts.store import ArtifactError
from data.database.database import DatabaseError
from data.datasets.registry import FOLDER, absolute, identity
from data.settings import settings
from engine.claims import CLAIMS
from engine.errors import UserError
from engine.paper import figures, studies
from engine.paper.figures import Figure
from engine.study.spec import to_toml
from tasks.studies.catalog import PAPER, arguments, one_by_one

COLUMNS = 3
# This entry of the list of settings asks for a folder.
ON_FOLDER = "Small on a folder of images…"
# The button that leads from one scale to the other, by the scale that it leads to.
_OTHER = {"small": "Small, which a laptop finishes", "paper": "As in the paper, made for GPUs"}


def guarded(body: Callable[[FigureSettings], None]) -> None:
    """Draw a page of the paper under the settings in the address, or the error in them."""
    chart.still()
    params = st.query_params
    # Settings in the address belong to the paper's scale unless it names another.
    scale = params.get("scale") or ("paper" if "data" in params or "like" in params else runs.fitting_scale())
    if scale not in figures.SCALES:
        st.warning(f"The address names an unknown scale, {words.plain(repr(scale))}: this page shows the paper's.")
        scale = "paper"
    try:
        body(FigureSettings(scale, params.get("data"), params.get("like")))
    except DatabaseError:
        raise
    except UserError as error:
        st.error(words.plain(str(error)), icon=":material/image_not_supported:")
        st.page_link("views/paper.py", label="All figures as in the paper", icon=":material/arrow_back:")


def overview(chosen: FigureSettings) -> None:
    """Draw the overview."""
    st.title("Paper", anchor=False)
    st.caption(
        "Liu et al., “Lottery Ticket Preserves Weight Correlation: Is It Desirable or Not?”, ICML 2021. Each figure "
        "and the table can be launched as a study of your own."
    )
    chosen = choose(chosen, "overview")
    query, claims = _search()
    matching = [figure for figure in figures.FIGURES.values() if _matches(figure, query, claims)]
    if not matching:
        st.info("No figure matches. Search looks at titles, networks, datasets, pruners, starts and claims.")
    chart.grid(len(matching), COLUMNS, lambda index: _card(matching[index], chosen))
    _everything(chosen)
    _numbers(chosen)


def choose(chosen: FigureSettings, key: str) -> FigureSettings:
    """Return the settings that the reader selects and say how they depart from the paper; the address holds them.

    The page ends here until the reader has named a folder, where the selection asks for one.
    """
    options = [*CATALOGUE, *runs.launched_settings()]
    if chosen not in options:
        options.append(chosen)
    by_title: dict[str, FigureSettings | None] = {option.title: option for option in options} | {ON_FOLDER: None}
    title = st.selectbox(
        "Settings",
        list(by_title),
        index=list(by_title).index(chosen.title),
        key=f"{key}-settings-{chosen.title}",
        help="The paper's recipe, a scaled-down one, or the recipe of a study that was launched here.",
        width=420,
    )
    other = FigureSettings("small" if chosen.scale == "paper" else "paper")
    if st.button(_OTHER[other.scale], key=f"{key}-other-scale", type="tertiary", icon=":material/swap_horiz:"):
        _show(other)
    selected = by_title[title] or _on_folder(key)
    if selected is None:
        # The rest of the page would launch the previous settings, not those on the folder.
        st.info("Name a folder of images to see and launch the paper's runs on it.")
        st.stop()
    if selected != chosen:
        _show(selected)
    if departs := studies.scaling(selected.scale, selected.data):
        st.markdown(f":orange-badge[scaled] {words.plain(' '.join(departs))}")
    return selected


def _show(settings: FigureSettings) -> None:
    """Draw the page anew under other settings, which its address then holds."""
    figure = st.query_params.get("figure")
    st.query_params.clear()
    st.query_params.from_dict({**({"figure": figure} if figure else {}), **settings.query})
    st.rerun()


def _on_folder(key: str) -> FigureSettings | None:
    """Return the settings on a folder of images, or None until the reader has named a valid one."""
    path = st.text_input(
        "Folder of images", placeholder="/path/to/images", help=form.FOLDER_HELP, key=f"{key}-folder", width=420
    )
    if not path.strip():
        return None
    data = absolute(f"{FOLDER}{path.strip()}")
    try:
        with st.spinner("Reading the folder…"):
            identity(data, settings().home)
        studies.study(figures.ALL, "small", data)
    except UserError as error:
        st.markdown(f":small[:red[:material/error: {words.plain(str(error))}]]")
        return None
    return FigureSettings("small", data)


def _search() -> tuple[str, list[str]]:
    with st.container(horizontal=True, vertical_alignment="bottom", key="paper_search_row"):
        query = st.text_input(
            "Search figures",
            type="search",
            placeholder="Search, such as “vgg-11 rewind”",
            key="paper_search",
            persist_state="page",
            width=320,
        )
        claims = st.multiselect(
            "Claims",
            list(CLAIMS),
            format_func=lambda claim: f"{claim}: {CLAIMS[claim].text}",
            key="paper_claims",
            placeholder="any",
            persist_state="page",
            width=320,
        )
    return query or "", claims


def _matches(figure: Figure, query: str, claims: list[str]) -> bool:
    text = (
        f"{figure.id} {figure.title} {figure.section} {figure.about} {panels_words(figure)} {' '.join(figure.claims)}"
    )
    panels = {
        word
        for panel in figure.panels
        for word in (panel.network, panel.dataset, *map(words.pruner, panel.pruners), *map(words.start, panel.starts))
    }
    return words.matches(query, f"{text} {' '.join(panels)}") and (not claims or bool(set(claims) & set(figure.claims)))


def panels_words(figure: Figure) -> str:
    """Return the networks and datasets of a figure and its learning rates, in words."""
    places = dict.fromkeys(words.place(panel.network, panel.dataset) for panel in figure.panels)
    rates = sorted({rate for panel in figure.panels for rate in panel.learning_rates})
    return f"{words.listing(list(places))} · learning rate{'s' * (len(rates) > 1)} {words.numbers(rates)}"


def _card(figure: Figure, chosen: FigureSettings) -> None:
    trained = runs.trained(figure, chosen)
    done, requested = trained.done, trained.requested
    with st.container(border=True, key=f"figure-{figure.id}", gap="xsmall", height="stretch"):
        st.page_link("views/figure.py", label=f"**{figure.title}**", query_params={"figure": figure.id, **chosen.query})
        st.caption(figure.section)
        st.markdown(prose(figure.about))
        st.caption(panels_words(figure))
        drawn = [panel for panel, _ in studies.drawn(figure.panels, chosen.scale, chosen.data)]
        st.html(thumbnail.image(figure.title, drawn, runs.means(chosen)))
        if text := panels.once(figure, chosen):
            st.caption(words.plain(text))
        st.progress(done / max(1, requested), text=f"{done:,} of {words.plural(requested, 'training')} done")
        claims = [f":gray-badge[{claim}]" for claim in figure.claims]
        st.markdown(f"{' '.join(claims)} {verdict_cards.badges(trained.verdicts)}")


def _everything(chosen: FigureSettings) -> None:
    """Show the plan of all figures together, and launch them."""
    st.header("Everything", anchor=False)
    plan = runs.planned(figures.ALL, chosen)
    total, finished = len(plan.stages), runs.done(plan)
    with st.container(border=True, key="figure-all", gap="small"):
        separately = _count_one_by_one(chosen.scale, chosen.data)
        st.markdown(
            f"All figures and the table: **{separately:,}** trainings if each were launched alone, **{total:,}** "
            "together, since equal trainings run once."
        )
        st.progress(finished / total, text=f"{finished:,} of {words.plural(total, 'training')} done")
        dialog = f"launch all {chosen.scale} {chosen.data}"
        if dialogs.button("Launch all", dialog, icon=":material/rocket_launch:", key="launch_all"):
            confirm(chosen)
        if chosen.like is None:
            command = f"ticketscope launch {arguments(figures.ALL, chosen.scale, chosen.data)}"
            st.markdown(f":small[{words.code(command)}]")


@st.dialog("Launch all figures?", on_dismiss=dialogs.close)
@audience.database_errors()
def confirm(chosen: FigureSettings) -> None:
    """Ask before all figures are launched."""
    study = runs.study(figures.ALL, chosen)
    try:
        with st.spinner("Estimating…"):
            plan = preview_plan(to_toml(study))
    except ArtifactError as error:
        st.error(words.plain(str(error)))
        return
    st.markdown(words.plain(plan.costs(live.zone())))
    if st.button("Launch all of them", type="primary", key="launch_all_yes", on_click=dialogs.close):
        launch.start(study)
    launch.ask_again(study)


@lru_cache(maxsize=32)
def _count_one_by_one(scale: str, data: str | None) -> int:
    return one_by_one(f"{PAPER}{figures.ALL}", scale, data) or 0


def read_in() -> None:
    """Plan all figures under the settings of the catalogue before the first visit, since planning takes a moment."""
    for chosen in runs.CATALOGUE:
        for name in (*figures.FIGURES, figures.ALL):
            runs.planned(name, chosen)
        _count_one_by_one(chosen.scale, chosen.data)


def _numbers(chosen: FigureSettings) -> None:
    """Show every number that the paper states beside ours."""
    st.header("All stated numbers", anchor=False)
    st.caption("Every number that the paper's text states, beside the mean of our seeds.")
    tables = [
        numbers.table([number], trained.accuracy, trained.pooled, chosen.scale, chosen.data, chosen.is_paper)
        for number in figures.REPORTED
        for trained in [runs.trained(_figure_of(number), chosen)]
    ]
    table = pd.concat(tables, ignore_index=True)
    stated_table(table, chosen)
    chart.csv_button("Stated numbers as CSV", lambda: table, "paper-stated-numbers.csv", "stated_csv")


def stated_table(table: pd.DataFrame, chosen: FigureSettings) -> None:
    """Show a table of stated numbers, and say what our numbers can be compared with."""
    if not chosen.is_paper:
        st.markdown(
            ":orange-badge[scaled] Our runs have other data or another recipe than the paper's, so their numbers are "
            "not subtracted from the paper's."
        )
    with st.container(key="stated_table"):
        chart.table(table, "stated_frame")
    if chosen.is_paper:
        st.caption("The interval is that of our mean; the paper gives no spread for its own.")


def _figure_of(number: figures.Reported) -> Figure:
    return next(figure for figure in figures.FIGURES.values() if number in figures.reported(figure))

"""All figures of the paper, each with its panels, how much of it is trained here, and the verdicts on its claims."""

from collections.abc import Callable
from functools import lru_cache

import streamlit as st

from app import words
from app.components import chart, dialogs, verdict_cards
from app.new_study import form, launch
from app.new_study.preview import preview_plan
from app.paper import numbers, runs, thumbnail
from app.paper.runs import CATALOGUE, Settings
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
# The entry of the list of settings that asks for a folder.
ON_FOLDER = "Small on a folder of images…"


def guarded(body: Callable[[Settings], None]) -> None:
    """Draw a page of the paper under the settings in the address, and say what is wrong with them."""
    chart.still()
    params = st.query_params
    scale = params.get("scale", "paper")
    if scale not in figures.SCALES:
        st.warning(f"The address names a scale {words.plain(repr(scale))}, which is not known; the paper's is shown.")
        scale = "paper"
    try:
        body(Settings(scale, params.get("data"), params.get("like")))
    except DatabaseError as error:
        st.error(words.plain(str(error)), icon=":material/database_off:")
    except UserError as error:
        st.error(words.plain(str(error)), icon=":material/image_not_supported:")
        st.page_link("views/paper.py", label="All figures as in the paper", icon=":material/arrow_back:")


def overview(chosen: Settings) -> None:
    """Draw the overview."""
    st.title("Paper", anchor=False)
    st.caption(
        "Liu et al., “Lottery Ticket Preserves Weight Correlation: Is It Desirable or Not?”, ICML 2021: every figure "
        "and the table as a study of your own."
    )
    chosen = choose(chosen, "overview")
    departs = studies.scaling(chosen.scale, chosen.data)
    if departs:
        st.markdown(f":orange-badge[scaled] {words.plain(' '.join(departs))}")
    query, claims = _search()
    found = [figure for figure in figures.FIGURES.values() if _matches(figure, query, claims)]
    if not found:
        st.info("No figure matches. Search looks at titles, networks, datasets, pruners, starts and claims.")
    chart.grid(len(found), COLUMNS, lambda index: _card(found[index], chosen))
    _everything(chosen)
    _numbers(chosen)


def choose(chosen: Settings, key: str) -> Settings:
    """Return the settings that the reader selects, which the address holds; stop the page until a folder is named."""
    options = [*CATALOGUE, *runs.found_settings()]
    if chosen not in options:
        options.append(chosen)
    titled: dict[str, Settings | None] = {option.title: option for option in options} | {ON_FOLDER: None}
    title = st.selectbox(
        "Settings",
        list(titled),
        index=list(titled).index(chosen.title),
        key=f"{key}-settings-{chosen.title}",
        help="As the paper trains it, scaled down, or with the recipe of a study that was launched here.",
        width=420,
    )
    picked = titled[title] or _on_folder(key)
    if picked is None:
        # Until then, nothing may be launched in place of the folder that the reader is about to name.
        st.info("Name a folder of images to see the runs of the paper that are trained on it, and to launch them.")
        st.stop()
    if picked != chosen:
        figure = st.query_params.get("figure")
        st.query_params.clear()
        st.query_params.from_dict({**({"figure": figure} if figure else {}), **picked.query})
        st.rerun()
    return picked


def _on_folder(key: str) -> Settings | None:
    """Return the settings on a folder of images, or None until the reader has named one that can be used."""
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
    return Settings("small", data)


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


def _card(figure: Figure, chosen: Settings) -> None:
    trained = runs.trained(figure, chosen)
    done, requested = trained.done, trained.requested
    with st.container(border=True, key=f"figure-{figure.id}", gap="xsmall", height="stretch"):
        st.page_link("views/figure.py", label=f"**{figure.title}**", query_params={"figure": figure.id, **chosen.query})
        st.caption(figure.section)
        st.markdown(words.plain(figure.about))
        st.caption(panels_words(figure))
        panels = [studies.scaled(panel, chosen.scale, chosen.data) for panel in figure.panels]
        st.html(thumbnail.image(figure.title, panels, runs.means(chosen)))
        st.progress(done / max(1, requested), text=f"{done:,} of {words.plural(requested, 'training')} done")
        claims = [f":gray-badge[{claim}]" for claim in figure.claims]
        st.markdown(f"{' '.join(claims)} {verdict_cards.badges(trained.verdicts)}")


def _everything(chosen: Settings) -> None:
    """Show the plan of all figures together, and launch them."""
    st.subheader("Everything", anchor=False)
    one = runs.planned(figures.ALL, chosen)
    total, finished = len(one.stages), runs.done(one)
    with st.container(border=True, key="figure-all", gap="small"):
        apart = _apart(chosen.scale, chosen.data)
        st.markdown(
            f"All figures and the table: **{apart:,}** trainings one by one, **{total:,}** after sharing what is equal."
        )
        st.progress(finished / total, text=f"{finished:,} of {words.plural(total, 'training')} done")
        about = f"launch all {chosen.scale} {chosen.data}"
        if dialogs.button("Launch all", about, icon=":material/rocket_launch:", key="launch_all"):
            confirm(chosen)
        if chosen.like is None:
            command = f"python -m tasks launch {arguments(figures.ALL, chosen.scale, chosen.data)}"
            st.markdown(f":small[{words.code(command)}]")


@st.dialog("Launch all figures?", on_dismiss=dialogs.close)
def confirm(chosen: Settings) -> None:
    """Ask before all figures are launched."""
    wanted = runs.study(figures.ALL, chosen)
    try:
        with st.spinner("Estimating…"):
            plan = preview_plan(to_toml(wanted))
    except ArtifactError as error:
        st.error(words.plain(str(error)))
        return
    st.markdown(
        f"{words.plural(plan.trainings - plan.reused, 'training')}, about {words.duration(plan.estimated_seconds)} on "
        f"{words.plural(plan.workers, 'worker')}."
    )
    if st.button("Launch all of them", type="primary", key="launch_all_yes", on_click=dialogs.close):
        launch.start(wanted)


@lru_cache(maxsize=32)
def _apart(scale: str, data: str | None) -> int:
    return one_by_one(f"{PAPER}{figures.ALL}", scale, data) or 0


def read_in() -> None:
    """Plan all figures under the settings of the catalogue, which takes a moment the first time."""
    for chosen in runs.CATALOGUE:
        for name in (*figures.FIGURES, figures.ALL):
            runs.planned(name, chosen)
        _apart(chosen.scale, chosen.data)


def _numbers(chosen: Settings) -> None:
    """Show every stated number beside ours."""
    st.subheader("All stated numbers", anchor=False)
    st.caption(
        "Every number that the paper's text states, beside the mean of our seeds. The interval is that of our mean; "
        "the paper gives no spread for its own."
    )
    if studies.scaling(chosen.scale, chosen.data) or chosen.like:
        st.markdown(":orange-badge[scaled] The differences compare other data or another recipe with the paper's.")
    rows = [
        numbers.table([number], trained.accuracy, trained.pooled, chosen.scale, chosen.data)
        for number in figures.REPORTED
        for trained in [runs.trained(_figure_of(number), chosen)]
    ]
    table = numbers.joined(rows)
    with st.container(key="stated_table"):
        chart.table(table, "stated_frame")
    chart.csv_button("Stated numbers as CSV", lambda: table, "paper-stated-numbers.csv", "stated_csv")


def _figure_of(number: figures.Reported) -> Figure:
    return next(figure for figure in figures.FIGURES.values() if number in figures.reported(figure))

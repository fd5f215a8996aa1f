"""Filling in the New study form from a figure of the paper."""

import streamlit as st

from app import words
from app.new_study import filling
from engine.paper import figures, studies
from engine.study.spec import Study, StudyError
from tasks.studies import catalog

_DATA = (None, "paper", "digits", "cifar10", "cifar100")


def choose() -> None:
    """Let the reader choose figure, scale and data, and a button fill in the form from them."""
    with st.container(border=True, key="from_paper"):
        figure, scale, data = st.columns([3, 2, 2])
        with figure:
            st.selectbox(
                "Figure",
                [*figures.FIGURES, figures.ALL],
                format_func=_title,
                key="paper_figure",
            )
        with scale:
            st.selectbox(
                "Scale",
                list(figures.SCALES),
                index=list(figures.SCALES).index("small"),
                format_func=lambda name: figures.SCALES[name].title,
                key="paper_scale",
            )
        with data:
            st.selectbox(
                "Data",
                _DATA,
                format_func=lambda name: _data_title(name, st.session_state["paper_scale"]),
                key="paper_data",
            )
        st.caption(
            "The study gets the figure's networks, datasets, rates, pruners, starts, sparsities and seeds. As in the "
            "paper, it has 150 epochs and is made for GPUs; a laptop finishes a small one. Type the path of a "
            "folder of images into the form below."
        )
        for sentence in studies.scaling(st.session_state["paper_scale"], st.session_state["paper_data"]):
            st.markdown(f":small[{words.plain(sentence)}]")
        st.button("Fill in the form", key="paper_use", on_click=_use)
        if problem := st.session_state.get("paper_problem"):
            st.error(words.plain(problem))


def _title(name: str) -> str:
    if name == figures.ALL:
        return "All figures"
    figure = figures.FIGURES[name]
    return f"{figure.title}: {figure.about}"


def _data_title(name: str | None, scale: str) -> str:
    if name is None:
        own = figures.SCALES[scale].data
        return "the paper's datasets" if own == figures.OWN else f"{own}, as the scale has it"
    return "the paper's datasets" if name == figures.OWN else name


def _use() -> None:
    state = st.session_state
    try:
        load(state["paper_figure"], state["paper_scale"], state["paper_data"])
        state["paper_problem"] = None
    except StudyError as error:
        state["paper_problem"] = str(error)


def load(figure: str, scale: str, data: str | None) -> None:
    """Fill in the form from a figure; StudyError for an unknown figure, scale or dataset."""
    study = catalog.read(f"{catalog.PAPER}{figure}", scale, data)
    filling.replace(filling.first(study))
    st.session_state["paper_filled"] = (study, catalog.arguments(figure, scale, data))


def command(study: Study) -> str | None:
    """Return how the command line names a study, if it is still the figure's that filled in the form; else None."""
    filled = st.session_state.get("paper_filled")
    return str(filled[1]) if filled is not None and filled[0] == study else None

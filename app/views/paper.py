"""Paper: every figure of the paper as a card; with ?figure=<id>, one figure drawn from our own runs."""

import streamlit as st

from app import access, drawing, paper_figure, paper_overview
from app.figure_data import Settings
from data.datasets import DatasetError
from data.store import StoreError
from engine import paper
from engine.spec import StudyError


def settings() -> Settings:
    """Return the settings in the address; what is not known there is told and left out."""
    given = st.query_params
    scale = given.get("scale", "paper")
    if scale not in paper.SCALES:
        st.warning(f"The address names a scale {scale!r}, which is not known; shown is the paper's.")
        scale = "paper"
    return Settings(scale, given.get("data"), given.get("like"))


def page() -> None:
    """Draw the page."""
    drawing.still()
    chosen = settings()
    name = st.query_params.get("figure")
    try:
        if name is None:
            paper_overview.overview(chosen)
        elif name in paper.FIGURES:
            paper_figure.page(paper.FIGURES[name], chosen)
        else:
            st.title("No such figure", anchor=False)
            st.error(f"The paper has no {name!r} here.", icon=":material/search_off:")
            st.page_link("views/paper.py", label="All figures", icon=":material/arrow_back:")
    except StoreError as error:
        st.error(str(error), icon=":material/database_off:")
    except (DatasetError, StudyError) as error:
        st.error(str(error), icon=":material/image_not_supported:")
        st.page_link("views/paper.py", label="All figures as in the paper", icon=":material/arrow_back:")


access.require_owner()
page()

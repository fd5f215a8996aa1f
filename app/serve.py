"""The dashboard's server: `streamlit run app/serve.py` reads everything in before it answers the first visitor."""

import gc
import importlib
import pkgutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st

# Streamlit puts this file's folder on the path; the floors lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import sessions

HERE = Path(__file__).resolve().parent
# Pages run whenever they are imported.
PAGES = ("app.main", "app.serve", "app.views")


# Channels, pixels and classes of the images that come with no folder: digits and CIFAR.
SHAPES = ((1, 8, 10), (3, 32, 10), (3, 32, 100))


def read_in() -> None:
    """Import all that pages need, draw a chart, plan the paper: seconds that the first visitor would wait."""
    import altair as alt
    import duckdb
    import pandas as pd

    from app import paper_overview
    from engine.cost import flops_per_image
    from engine.networks import NETWORKS

    for module in pkgutil.walk_packages([str(HERE)], "app."):
        if not module.name.startswith(PAGES):
            importlib.import_module(module.name)
    with duckdb.connect() as connection:
        frame = connection.execute("SELECT 1.0 AS x, 'a' AS name").df()
    point = alt.Chart(pd.DataFrame(frame)).mark_point().encode(x=alt.X("x:Q"), color=alt.Color("name:N"))
    alt.layer(point, point.mark_line()).to_dict()
    for network in NETWORKS:
        for shape in SHAPES:
            if shape[1] >= 32 or network == "lenet300":
                flops_per_image(network, *shape)
    paper_overview.read_in()
    # All of this stays for good, so that no collection need look at it again.
    gc.freeze()


@asynccontextmanager
async def _lifespan(app: st.App) -> AsyncIterator[None]:
    del app
    read_in()
    yield


app = st.App(HERE / "main.py", lifespan=_lifespan, routes=[sessions.ROUTE])

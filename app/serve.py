"""The dashboard's server: `streamlit run app/serve.py` imports everything before it answers the first visitor."""

import asyncio
import gc
import importlib
import pkgutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

# Streamlit puts this file's folder on the path; the floors lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.auth import arrival, sessions
from app.auth.arrival import Arrival
from app.auth.guard import Guard
from app.downloads import routes
from data.plugins import loading as plugins
from data.settings import settings
from tasks.accounts import become_owner
from tasks.process import end_with_parent, raise_open_files

HERE = Path(__file__).resolve().parent
# A page runs when it is imported, so these are not.
PAGES = ("app.main", "app.serve", "app.views")


def warm_up() -> None:
    """Import all that pages need, draw a chart and plan the paper, which the first visitor would wait for."""
    import altair as alt
    import duckdb
    import pandas as pd

    from app.paper import overview

    for module in pkgutil.walk_packages([str(HERE)], "app."):
        if not module.name.startswith(PAGES):
            importlib.import_module(module.name)
    with duckdb.connect() as connection:
        frame = connection.execute("SELECT 1.0 AS x, 'a' AS name").df()
    point = alt.Chart(pd.DataFrame(frame)).mark_point().encode(x=alt.X("x:Q"), color=alt.Color("name:N"))
    alt.layer(point, point.mark_line()).to_dict()
    overview.read_in()
    # These objects live as long as the process, so the garbage collector need not visit them again.
    gc.freeze()


def send_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Make the servers that a loop starts later send their answers without delay.

    asyncio does so for sockets that it binds, but not for one that was bound before, such as Streamlit's (uvicorn's
    issue 3149): there the second part of an answer waits until the first is acknowledged, 40 ms on Linux. Chromium
    acknowledges sooner; proxies and scripts do not.
    """
    start = loop.create_server

    async def create_server(*args: Any, sock: socket.socket | None = None, **options: Any) -> asyncio.Server:
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # Accepted connections inherit the option.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await start(*args, sock=sock, **options)

    loop.create_server = create_server  # type: ignore[method-assign]


@asynccontextmanager
async def _lifespan(app: st.App) -> AsyncIterator[None]:
    del app
    end_with_parent()
    # Each open page needs four: its connection, and Streamlit's loop for its script.
    raise_open_files()
    become_owner(settings())
    plugins.load(settings())
    send_at_once(asyncio.get_running_loop())
    warm_up()
    arrival.publish()
    yield


middleware = [Middleware(Guard), Middleware(Arrival)]
downloads = routes.route(str(st.get_option("server.baseUrlPath") or ""))
app = st.App(HERE / "main.py", lifespan=_lifespan, routes=[sessions.ROUTE, downloads], middleware=middleware)

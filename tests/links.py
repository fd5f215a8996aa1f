"""The files of links, served over HTTP in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.auth.guard import Guard
from app.downloads import routes
from tests.machine import free_port, wait_for


@contextmanager
def files_served(base: str = "") -> Iterator[str]:
    """Serve the files of this home's links, with the headers of all answers, for the block; yield the address.

    base: the path below which the dashboard is served.
    """
    port = free_port()
    app = Starlette(routes=[routes.route(base)], middleware=[Middleware(Guard)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

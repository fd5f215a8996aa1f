"""The addresses of a link's files: `<dashboard>/data/accuracy.parquet?share=<token>` and its kin, for GET and HEAD."""

import asyncio
import math
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.downloads import files
from app.downloads.brake import Brake
from app.downloads.files import NAMES, ChooseStudy, File, LinkShowsNothing, NoSuchStudy, TooBusy, TooLarge
from app.state import audience
from data import shared_links
from data.database.database import DatabaseError
from data.queries.studies import UnknownStudy
from data.shared_links import TOKEN
from engine.errors import UserError

STUDY = "study"
# Reading a Parquet file in parts takes some requests. All visitors behind one proxy that names none share an address.
ADDRESSES = Brake(burst=120, per_second=4.0)
LINKS = Brake(burst=120, per_second=2.0)
# Threads of their own, so that files never take those of pages; and the most requests that wait for them.
THREADS, WAITING = 4, 32
# Seconds after which a caller tries again when the database is in use, or when others had their turn.
AGAIN = 5

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
_waiting = 0

STATUSES: dict[type[UserError], int] = {
    LinkShowsNothing: 404,
    NoSuchStudy: 404,
    ChooseStudy: 400,
    TooLarge: 403,
    TooBusy: 503,
}


class TooOften(UserError):
    """A link or an address asks too often; seconds: after which it may ask again."""

    def __init__(self, who: str, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        unit = "second" if self.seconds == 1 else "seconds"
        super().__init__(f"too many requests {who}; try again in {self.seconds} {unit}")


def route(base: str) -> Route:
    """Return the route of all files; base: Streamlit's server.baseUrlPath, "" for none."""
    prefix = f"/{base.strip('/')}" if base.strip("/") else ""
    return Route(f"{prefix}/data/{{name}}", _answer, methods=["GET"])


async def _answer(request: Request) -> Response:
    """Answer a request for a file; HEAD gets the headers of GET."""
    global _waiting
    name = str(request.path_params["name"])
    try:
        address = request.client.host if request.client else ""
        if wait := ADDRESSES.wait(address):
            raise TooOften("from your address", wait)
        if name not in NAMES:
            return _refusal(404, f"there is no such file here; there are {', '.join(NAMES)}")
        if _waiting >= WAITING:
            raise TooBusy("too many requests wait for links at the moment; try again in a few seconds")
        _waiting += 1
        try:
            made = await asyncio.get_running_loop().run_in_executor(
                _threads, _file, request.query_params.get(TOKEN, ""), name, request.query_params.get(STUDY)
            )
        finally:
            _waiting -= 1
    except TooOften as error:
        return _refusal(429, str(error), error.seconds)
    except DatabaseError:
        # Its message names paths and programs.
        return _refusal(503, "the database cannot be read at the moment; try again in a few seconds", AGAIN)
    except UserError as error:
        status = STATUSES[type(error)]
        return _refusal(status, str(error), AGAIN if status == 503 else None)
    return _part(made, request.headers.get("range"), request.headers.get("if-range"))


def _file(token: str, name: str, study: str | None) -> File:
    """Return a file of the link with a token; the link is looked up each time, so that it ends at once."""
    database = audience.whole_database()
    share = shared_links.find(database, token) if token and database.path.exists() else None
    if share is None:
        raise LinkShowsNothing
    if wait := LINKS.wait(share.share_id):
        raise TooOften("by this link", wait)
    try:
        made = files.file(database, share, name, study)
    except UnknownStudy:
        # It was deleted meanwhile.
        raise LinkShowsNothing from None
    # A file must not fail because the time of its link's last use cannot be written.
    with suppress(DatabaseError):
        shared_links.touch(database, share)
    return made


def _refusal(status: int, text: str, seconds: int | None = None) -> Response:
    headers = {"Cache-Control": "no-store"} | ({} if seconds is None else {"Retry-After": str(seconds)})
    return PlainTextResponse(text, status, headers)


def _part(file: File, asked: str | None, if_range: str | None) -> Response:
    """Return a file, or the one range of its bytes that was asked for; of several ranges, the whole file."""
    size = len(file.content)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Accept-Ranges": "bytes",
        "ETag": file.tag,
    }
    match = _RANGE.fullmatch(asked.strip()) if asked is not None and if_range in (None, file.tag) else None
    if match is None or not any(match.groups()):
        return Response(file.content, 200, headers, file.kind)
    first, last = (int(digits[:18]) if digits else None for digits in match.groups())
    begin = max(0, size - (last or 0)) if first is None else first
    end = size if first is None or last is None else min(last + 1, size)
    if begin >= end:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{size}"}, file.kind)
    return Response(
        file.content[begin:end], 206, {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{size}"}, file.kind
    )

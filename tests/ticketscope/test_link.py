"""`ts.open` over real HTTP: what a link shows, what ends it, and servers that mean ill."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import ticketscope as ts
from app.downloads import files, routes
from app.downloads.brake import Brake
from app.export.charts import places
from data import shared_links
from data.database.database import Database
from data.parquet import SCHEMAS
from data.queries import studies
from data.settings import settings
from data.shared_links import Anonymous
from data.viewers import ViewersDatabase
from data.weights.saved import WeightsMissing
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.links import files_served
from ticketscope.link import LinkError
from ticketscope.local import NoStudyHere
from ticketscope.pictures import ChartError

FIRST, OTHER = "made-study-0001", "made-study-0002"
TOKEN = "s3cret-token"


@pytest.fixture
def database(home: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with two studies."""
    del home
    monkeypatch.setattr(files, "CACHE", files.FileCache(files.MOST_BYTES))
    monkeypatch.setattr(routes, "ADDRESSES", Brake(10_000, 1.0))
    monkeypatch.setattr(routes, "LINKS", Brake(10_000, 1.0))
    empty = Database(settings().database)
    empty.ensure()
    lists = {"datasets": ["digits"], "networks": ["lenet300"], "pruners": ["oneshot", "iterative"]}
    study = parse_study({"name": "Small study", **lists, "sparsities": [0.5], "seeds": [0, 1], "recipe": {"epochs": 4}})
    record(empty, study, study_id=FIRST)
    record(empty, study.model_copy(update={"name": "Other study"}), study_id=OTHER)
    return empty


def test_a_study_by_link_has_the_tables_and_charts_of_its_page_until_the_link_ends(database: Database) -> None:
    share, token = shared_links.create(database, [FIRST])
    viewed = ViewersDatabase(database, share)
    [place] = places(viewed, studies.study(viewed, FIRST))
    with files_served("lab") as address:
        link = shared_links.link(f"{address}/lab", token)
        shared = ts.open(link)
        for name in SCHEMAS:
            by_pandas = pd.read_parquet(shared_links.table_address(link, name))
            assert len(by_pandas)
            assert_frame_equal(getattr(shared, name)(), by_pandas)
        assert (shared.name, shared.state) == ("Small study", "done")
        assert shared.settings.pruners == ("oneshot", "iterative")
        for name in ("accuracy", "sweep", "layers"):
            assert [picture.spec for picture in shared.chart(name)] == [chart.picture for chart in place.charts[name]]
        for name in ("time", "admm"):
            with pytest.raises(ChartError, match="not among the tables; the study's page"):
                shared.chart(name)
        with pytest.raises(WeightsMissing, match="a link shows no weights"):
            shared.weights(start="dense")
        assert repr(shared) == f"<study {FIRST} 'Small study' by link: {shared.progress()}>"
        shared_links.revoke(database, share.share_id)
        with pytest.raises(LinkError, match=r"This link shows nothing\. It may have expired") as ended:
            shared.accuracy()
        assert token not in str(ended.value) + repr(shared)
        with pytest.raises(OSError, match="404"):
            pd.read_parquet(shared_links.table_address(link, "accuracy"))
    with pytest.raises(LinkError, match="does not answer: ") as silent:
        shared.accuracy()
    assert token not in str(silent.value)


def test_of_a_view_one_study_is_chosen(database: Database) -> None:
    _, token = shared_links.create(database, [FIRST, OTHER], state="s=x", anonymous=Anonymous("Submission"))
    with files_served("lab") as address:
        link = shared_links.link(f"{address}/lab", token)
        with pytest.raises(LinkError, match=rf"shows several studies; give study= .*{OTHER} \(Submission 2\)"):
            ts.open(link)
        with pytest.raises(LinkError, match="shows no one study 'Small study'"):
            ts.open(link, study="Small study")
        assert ts.open(link, study=OTHER).name == "Submission 2"


@pytest.mark.parametrize(
    "address",
    [
        f"https://tickets.example/study?share={TOKEN}",
        f"https://tickets.example/shared?token={TOKEN}",
        f"https://ada:{TOKEN}@tickets.example/shared?share={TOKEN}",
        f"https://tickets.example/shared?share={TOKEN}&share=x",
        f"file:///etc/shared?share={TOKEN}",
        f"ftp://tickets.example/shared?share={TOKEN}",
        f"https:///shared?share={TOKEN}",
        "https://tickets.example/shared?share=",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(
        NoStudyHere, match="this is no link of Ticketscope; give the address that Share made"
    ) as refused:
        ts.open(address)
    assert TOKEN not in str(refused.value)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Run a server whose every answer a function makes, for the block; yield its address and the paths requested."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer(self)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def redirecting(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target + handler.path)
        handler.end_headers()

    return answer


def sending(content: bytes, kind: str, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def test_no_redirection_takes_the_token_to_another_server() -> None:
    with answering(sending(b"{}", "application/json")) as (thief, stolen):
        for target in (thief, thief.replace("127.0.0.1", "localhost"), "file:///etc/passwd?"):
            with answering(redirecting(target)) as (address, asked):
                with pytest.raises(LinkError, match=r"another server and must not get the link|status 302") as refused:
                    ts.open(f"{address}/shared?share={TOKEN}")
                assert len(asked) == 1
                assert TOKEN not in str(refused.value)
        assert not stolen


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sending(b"<html>", "text/html"), "does not answer as a dashboard of Ticketscope"),
        (sending(b'{"studies": [1]}', "application/json"), "does not answer as a dashboard of Ticketscope"),
        (sending(b"<html>", "text/html", 502), "it answered with status 502"),
        (sending(f"sorry\x1b[31m, {TOKEN}".encode(), "text/plain", 429), r"sorry \[31m, \.\.\."),
        (sending(b"x" * 3000, "text/plain", 404), "x{500}$"),
    ],
)
def test_other_servers_are_told_in_words(answer: Answer, said: str) -> None:
    with answering(answer) as (address, _), pytest.raises(LinkError, match=said) as refused:
        ts.open(f"{address}/shared?share={TOKEN}")
    assert TOKEN not in str(refused.value)


def test_a_server_that_sends_no_table_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    row = b'{"studies": [{"study_id": "x", "name": "X", "state": "done", "done": 1, "stages": 1}]}'
    with answering(sending(row, "application/json")) as (address, _):
        study = ts.open(f"{address}/shared?share={TOKEN}")
        with pytest.raises(LinkError, match="sent no table of accuracy"):
            study.accuracy()
        monkeypatch.setattr("ticketscope.link.MOST_BYTES", 10)
        with pytest.raises(LinkError, match="sent more than 10 bytes"):
            study.accuracy()

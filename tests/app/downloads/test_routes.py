"""The files of a link, requested as notebooks and scripts do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from app import words
from app.auth.guard import HEADERS
from app.downloads import files, routes
from app.downloads.brake import Brake
from app.state import audience, turns
from data import shared_links
from data.database.database import Database
from data.parquet import SCHEMAS, tables_from_database, write
from data.shared_links import Anonymous
from engine.study.spec import Study
from tests.app.made_study import record
from tests.links import files_served
from tests.machine import wait_for

FIRST, OTHER = "made-study-0001", "made-study-0002"
SHOWS_NOTHING = f"{words.NO_LINK}. {words.NO_LINK_ADVICE}"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test gets the files, or the limits, of another."""
    monkeypatch.setattr(files, "CACHE", files.FileCache(files.MOST_BYTES))
    monkeypatch.setattr(routes, "ADDRESSES", Brake(10_000, 1.0))
    monkeypatch.setattr(routes, "LINKS", Brake(10_000, 1.0))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that follows nothing, and has nothing of its own to identify itself."""
    with files_served() as address, httpx.Client(base_url=address, timeout=30.0) as client:
        yield client


@pytest.fixture
def recorded(database: Database, study: Study) -> Database:
    """A database with two studies, of which the second is nobody's business."""
    small = study.model_copy(update={"seeds": (0, 1), "learning_rates": (0.1,), "pruners": ("oneshot",)})
    record(database, small, study_id=FIRST)
    record(database, small.model_copy(update={"name": "Secret study"}), study_id=OTHER)
    return database


def get(client: httpx.Client, name: str, token: str | None, **more: str) -> httpx.Response:
    query = {} if token is None else {"share": token}
    return client.get(f"/data/{name}", params={**query, **more})


def table(answer: httpx.Response) -> pd.DataFrame:
    assert answer.status_code == 200, answer.text
    return pd.read_parquet(BytesIO(answer.content))


def test_a_link_gives_the_tables_that_are_exported(client: httpx.Client, recorded: Database, tmp_path: Path) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    write(tables_from_database(recorded, FIRST), tmp_path)
    for name in SCHEMAS:
        answer = get(client, f"{name}.parquet", token)
        assert_frame_equal(table(answer), pd.read_parquet(tmp_path / f"{name}.parquet"))
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-disposition"] == f'attachment; filename="{FIRST}-{name}.parquet"'
        for header, value in HEADERS.items():
            assert answer.headers[header] == value
    [listed] = get(client, "studies.json", token).json()["studies"]
    assert listed == {"study_id": FIRST, "name": "Small study", "state": "done", "stages": 18, "done": 18}
    toml = get(client, "study.toml", token)
    assert 'name = "Small study"' in toml.text
    # The use of the link is counted.
    assert shared_links.shares(recorded)["last_used_at"].notna().all()


def test_every_link_that_shows_nothing_gets_the_same_answer(client: httpx.Client, recorded: Database) -> None:
    past = datetime.now(UTC) + timedelta(seconds=0.2)
    _, expired = shared_links.create(recorded, [FIRST], expires_at=past)
    revoked_link, revoked = shared_links.create(recorded, [FIRST])
    _, working = shared_links.create(recorded, [FIRST])
    _, trashed = shared_links.create(recorded, [OTHER])
    assert get(client, "accuracy.parquet", revoked).status_code == 200
    assert get(client, "accuracy.parquet", trashed).status_code == 200
    # Files that were made before do not outlive their links.
    shared_links.revoke(recorded, revoked_link.share_id)
    with recorded.writing() as connection:
        connection.execute("INSERT INTO trash VALUES (?, now()::TIMESTAMP, '1')", [OTHER])
    wait_for(lambda: datetime.now(UTC) > past)
    tokens = (None, "", "garbage", working[:-1], working.swapcase(), "' OR 1=1", "\x00", expired, revoked, trashed)
    for name in ("accuracy.parquet", files.LIST, files.STUDY):
        answers = [get(client, name, token) for token in tokens]
        assert {(answer.status_code, answer.text) for answer in answers} == {(404, SHOWS_NOTHING)}
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert get(client, "accuracy.parquet", working).status_code == 200


def test_a_link_shows_its_own_study_alone(client: httpx.Client, recorded: Database) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    for study in (OTHER, "Secret study", "", "%", FIRST[:-1]):
        answer = get(client, "accuracy.parquet", token, study=study)
        assert answer.status_code == 404
        assert FIRST in answer.text
        assert "Secret" not in answer.text.replace(repr(study), "")
    for name in (FIRST, "Small study"):
        assert len(table(get(client, "accuracy.parquet", token, study=name)))


def test_a_view_gives_the_rows_of_its_studies_together_or_of_one(client: httpx.Client, recorded: Database) -> None:
    _, token = shared_links.create(recorded, [OTHER, FIRST], state="s=x")
    for name in SCHEMAS:
        together = table(get(client, f"{name}.parquet", token))
        assert list(together.columns[:2]) == ["study_id", "study"]
        assert list(together["study_id"].unique()) == [OTHER, FIRST]
        one = table(get(client, f"{name}.parquet", token, study=FIRST))
        rest = together[together["study_id"] == FIRST].drop(columns=["study_id", "study"]).reset_index(drop=True)
        assert_frame_equal(rest, one)
    answer = get(client, "study.toml", token)
    assert answer.status_code == 400
    assert f"add &study= with the id of one: {OTHER} (Secret study), {FIRST}" in answer.text
    assert "Secret study" in get(client, "study.toml", token, study=OTHER).text
    assert [row["study_id"] for row in get(client, "studies.json", token).json()["studies"]] == [OTHER, FIRST]


def test_an_anonymous_link_names_nobody(client: httpx.Client, database: Database, study: Study) -> None:
    folder = "folder:/home/quimby/data/tigers"
    named = {"name": "Quimby's cats", "note": "for Eve", "datasets": (folder,), "seeds": (0,), "pruners": ("oneshot",)}
    record(database, study.model_copy(update=named), study_id=FIRST)
    _, token = shared_links.create(database, [FIRST], note="for Bob", anonymous=Anonymous("Submission 12"))
    for name in files.NAMES:
        answer = get(client, name, token)
        assert answer.status_code == 200
        content = answer.content + str(answer.headers).encode()
        if name.endswith(".parquet"):
            content += table(answer).to_csv().encode()
        for secret in (b"uimby", b"tigers", b"/home", b"for Eve", b"for Bob", b"laptop", b"worker-1"):
            assert secret not in content, (name, secret)
    assert "Submission 12" in get(client, "studies.json", token).text
    assert set(table(get(client, "accuracy.parquet", token))["dataset"]) == {"folder:dataset"}
    # A link that is not anonymous shows the folder's name, without its path.
    _, open_token = shared_links.create(database, [FIRST])
    assert set(table(get(client, "accuracy.parquet", open_token))["dataset"]) == {"folder:tigers"}


def test_parts_of_a_file_are_served_as_readers_of_parquet_ask(client: httpx.Client, recorded: Database) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    address = f"/data/overlap.parquet?share={token}"
    whole = client.get(address)
    size, tag = len(whole.content), whole.headers["etag"]
    head = client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == size
    assert head.headers["accept-ranges"] == "bytes"
    for asked, begin, end in (
        ("0-3", 0, 4),
        ("-8", size - 8, size),
        (f"{size - 4}-", size - 4, size),
        ("2-999999999", 2, size),
    ):
        part = client.get(address, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206
        assert part.content == whole.content[begin:end]
        assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
    for asked in ("bytes=0-1,4-5", "bytes=-", "lines=0-3", "bytes=x"):
        assert client.get(address, headers={"Range": asked}).content == whole.content
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=9-3"):
        refused = client.get(address, headers={"Range": asked})
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
    assert client.get(address, headers={"Range": "bytes=0-3", "If-Range": tag}).status_code == 206
    # The file is another one by now.
    assert client.get(address, headers={"Range": "bytes=0-3", "If-Range": '"older"'}).status_code == 200


def test_a_new_result_makes_a_new_file(client: httpx.Client, database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "done" if index < 20 else "queued", study_id=FIRST)
    _, token = shared_links.create(database, [FIRST])
    before = len(table(get(client, "accuracy.parquet", token)))
    record(database, study, study_id=FIRST)
    assert len(table(get(client, "accuracy.parquet", token))) > before > 0


def test_other_methods_names_and_paths_lead_nowhere(client: httpx.Client, recorded: Database) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = client.request(method, f"/data/accuracy.parquet?share={token}", content=b"x")
        assert answer.status_code == 405
        assert "access-control-allow-origin" not in answer.headers
    names = ("weights.parquet", "accuracy", "accuracy.csv", "ACCURACY.parquet", ".parquet", "", "study.toml.bak")
    paths = ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "accuracy.parquet%00", "accuracy.parquet/x")
    for name in (*names, *paths):
        answer = client.get(f"/data/{name}?share={token}")
        assert answer.status_code == 404, name
        assert token not in answer.text


def test_links_and_addresses_that_ask_too_often_wait(
    client: httpx.Client, recorded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    _, second = shared_links.create(recorded, [FIRST])
    monkeypatch.setattr(routes, "LINKS", Brake(2, 0.5))
    answers = [get(client, "studies.json", token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    assert answers[-1].text == "too many requests by this link; try again in 2 seconds"
    assert get(client, "studies.json", second).status_code == 200
    monkeypatch.setattr(routes, "ADDRESSES", Brake(1, 1.0))
    answers = [get(client, "studies.json", "guess") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 429]
    assert answers[-1].text == "too many requests from your address; try again in 1 second"


def test_files_are_made_in_the_turns_of_viewers_and_kept(
    client: httpx.Client, recorded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    _, second = shared_links.create(recorded, [OTHER])
    assert get(client, "accuracy.parquet", token).status_code == 200
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    with turns.viewers_turn(1.0) as has_turn:
        assert has_turn
        assert get(client, "accuracy.parquet", token).status_code == 200
        busy = get(client, "accuracy.parquet", second)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        assert "try again" in busy.text
    assert get(client, "accuracy.parquet", second).status_code == 200


def test_kept_files_take_a_limited_space() -> None:
    kept = files.FileCache(most=10)
    for number in range(4):
        kept.add(number, {"x": b"1234"})
    assert [kept.get(number) is not None for number in range(4)] == [False, False, True, True]
    kept.get(2)
    kept.add(5, {"x": b"1234"})
    assert kept.get(3) is None
    kept.add(6, {"x": b"larger than all"})
    assert not any(kept.get(number) for number in range(7))


def test_too_many_rows_are_not_made(client: httpx.Client, recorded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    monkeypatch.setattr(files, "MOST_ROWS", 100)
    answer = get(client, "claims.parquet", token)
    assert answer.status_code == 403
    assert "at most 100" in answer.text


def test_a_database_in_use_is_told_without_its_path(
    client: httpx.Client, recorded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    monkeypatch.setattr(audience, "whole_database", lambda: Database(recorded.path, patience=0.05))
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with recorded.alone():
            taken.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(20)
    try:
        answer = get(client, "accuracy.parquet", token)
    finally:
        done.set()
        holder.join()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.text == "the database cannot be read at the moment; try again in a few seconds"


def test_the_server_answers_others_while_a_file_is_made(client: httpx.Client, recorded: Database) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    with ThreadPoolExecutor(1) as threads:
        with turns.viewers_turn(1.0):
            made = threads.submit(get, client, "accuracy.parquet", token)
            wait_for(lambda: routes._waiting)
            assert get(client, "nothing", token).status_code == 404
            assert not made.done()
        assert made.result().status_code == 200


def test_too_many_requests_at_once_are_sent_away(
    client: httpx.Client, recorded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    monkeypatch.setattr(routes, "WAITING", 1)
    with ThreadPoolExecutor(1) as threads:
        with turns.viewers_turn(1.0):
            made = threads.submit(get, client, "accuracy.parquet", token)
            wait_for(lambda: routes._waiting)
            assert get(client, "accuracy.parquet", token).status_code == 503
        assert made.result().status_code == 200
    assert routes._waiting == 0


def test_files_lie_below_the_path_that_the_dashboard_is_served_at(recorded: Database) -> None:
    _, token = shared_links.create(recorded, [FIRST])
    with files_served("/a/lab/") as address:
        assert httpx.get(f"{address}/a/lab/data/studies.json?share={token}").status_code == 200
        assert httpx.get(f"{address}/data/studies.json?share={token}").status_code == 404


@examples(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(files.NAMES) | st.text(max_size=20),
    token=st.text(max_size=60) | st.none(),
    study=st.text(max_size=20) | st.none(),
    asked=st.from_regex(r"bytes=[0-9,-]{0,30}", fullmatch=True) | st.none(),
)
def test_made_up_requests_get_an_answer(
    client: httpx.Client, name: str, token: str | None, study: str | None, asked: str | None
) -> None:
    query = {key: value for key, value in (("share", token), ("study", study)) if value is not None}
    headers = {} if asked is None else {"Range": asked}
    answer = client.get(f"/data/{quote(name, safe='')}", params=query, headers=headers)
    assert answer.status_code in (404, 307, 400)

import threading
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from app.auth import access
from app.auth.access import Busy, Gate, is_owners
from data.passwords import hashed
from data.settings import settings
from tests.app.conftest import Request
from tests.app.dashboard import MAIN


@pytest.mark.parametrize(
    ("email", "verified", "owners", "expected"),
    [
        ("ada@lab.example", True, "ada@lab.example", True),
        ("Ada@Lab.Example", True, " ada@lab.example ,bob@x.example", True),
        ("eve@lab.example", True, "@lab.example", True),
        ("eve@notlab.example", True, "@lab.example", False),
        ("eve@lab.example.evil.org", True, "@lab.example", False),
        ("eve@other.example", True, "ada@lab.example", False),
        ("ada@lab.example", False, "ada@lab.example", False),
        ("ada@lab.example", True, "", False),
        (None, True, "@lab.example", False),
        ("", True, "", False),
    ],
)
def test_only_verified_addresses_on_the_list_are_owners(
    email: str | None, verified: bool, owners: str, expected: bool
) -> None:
    assert is_owners(email, verified, owners) is expected


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_wrong_passwords_delay_the_next_attempt_up_to_8_seconds_until_a_right_one() -> None:
    clock = Clock()
    gate = Gate(hashed("right"), clock.sleep, clock)
    assert not any(gate.admits("wrong") for _ in range(7))
    assert clock.slept == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert gate.admits("right")
    assert clock.slept[-1] == 8.0
    assert gate.admits("right")
    assert clock.slept[-1] == 0.0


def test_a_flood_of_attempts_is_refused() -> None:
    gate = Gate(hashed("right"))
    released = threading.Event()
    gate.sleep = lambda seconds: released.wait(10) and None
    threads = [threading.Thread(target=gate.admits, args=("wrong",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while gate.waiting._value:
        pass
    with pytest.raises(Busy):
        gate.admits("right")
    released.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def with_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", "open sesame")
    settings.cache_clear()


PAGES = ["main.py", *(f"views/{path.name}" for path in sorted((MAIN.parent / "views").glob("*.py")))]


@pytest.mark.usefixtures("with_password")
@pytest.mark.parametrize("page", PAGES)
def test_with_a_password_every_page_asks_for_it_first(page: str) -> None:
    app = AppTest.from_file(str(MAIN.parent / page), default_timeout=30).run()
    assert [title.value for title in app.title] == ["Ticketscope"]
    assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.parametrize("page", PAGES)
def test_without_a_password_no_page_opens_to_other_machines(page: str) -> None:
    config.set_option("server.address", "0.0.0.0")
    app = AppTest.from_file(str(MAIN.parent / page), default_timeout=30).run()
    assert [title.value for title in app.title] == ["Locked"]
    assert "TICKETSCOPE_PASSWORD" in app.markdown[-1].value
    assert not app.button


@pytest.mark.usefixtures("with_password")
def test_the_password_opens_the_dashboard_and_is_not_in_the_session() -> None:
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    app.text_input(key="login_password").input("guess")
    app.button[0].click().run()
    assert "password is wrong" in app.error[0].value
    app.text_input(key="login_password").input("open sesame")
    app.button[0].click().run()
    assert [title.value for title in app.title] == ["Studies"]
    assert "open sesame" not in str(app.session_state._state.filtered_state)


def test_the_password_opens_the_dashboard_when_only_its_hash_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_PASSWORD_HASH", hashed("open sesame"))
    settings.cache_clear()
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    app.text_input(key="login_password").input("open sesame")
    app.button[0].click().run()
    assert [title.value for title in app.title] == ["Studies"]


def test_dropping_all_caches_does_not_lift_the_brake(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", "open sesame")
    settings.cache_clear()
    gate = access._gate()
    assert gate is not None
    gate.sleep = lambda seconds: None
    assert not gate.admits("guess")
    st.cache_resource.clear()
    st.cache_data.clear()
    assert access._gate() is gate
    assert gate.failures == 1


@pytest.mark.parametrize("page", PAGES)
def test_without_a_password_no_page_opens_to_others_of_this_machine(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "headers", (("Host", "localhost:8501"),))
    app = AppTest.from_file(str(MAIN.parent / page), default_timeout=30).run()
    assert [title.value for title in app.title] == ["Locked"]
    assert "`ticketscope up` in a second terminal prints it again" in app.markdown[-1].value
    assert not app.button

import threading

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from app.access import Busy, Gate, is_loopback, role_without_password
from data.settings import settings
from tests.app.dashboard import MAIN


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_is_the_owners(address: str) -> None:
    assert is_loopback(address)
    assert role_without_password(address) == "owner"


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.evil.org"])
def test_anything_else_is_locked(address: str | None) -> None:
    assert role_without_password(address) is None


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def gate(clock: Clock) -> Gate:
    made = Gate.of("right")
    made.sleep, made.clock = clock.sleep, clock
    return made


def test_the_password_is_not_kept() -> None:
    assert b"right" not in Gate.of("right").expected
    assert Gate.of("right").expected != Gate.of("right").expected


def test_failures_slow_down_more_and_more_and_success_forgives() -> None:
    clock = Clock()
    tried = gate(clock)
    assert not any(tried.admits("wrong") for _ in range(7))
    assert clock.slept == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert tried.admits("right")
    assert clock.slept[-1] == 8.0
    assert tried.admits("right")
    assert clock.slept[-1] == 0.0


def test_a_flood_is_turned_away() -> None:
    tried = Gate.of("right")
    go_on = threading.Event()
    tried.sleep = lambda seconds: go_on.wait(10) and None
    threads = [threading.Thread(target=tried.admits, args=("wrong",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while tried.waiting._value:
        pass
    with pytest.raises(Busy):
        tried.admits("right")
    go_on.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def with_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", "open sesame")
    settings.cache_clear()


PAGES = ["main.py", "views/studies.py", "views/new_study.py", "views/study.py"]


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
def test_the_password_opens_and_stays_out_of_the_session() -> None:
    app = AppTest.from_file(str(MAIN), default_timeout=30).run()
    app.text_input(key="login_password").input("guess")
    app.button[0].click().run()
    assert "not the password" in app.error[0].value
    app.text_input(key="login_password").input("open sesame")
    app.button[0].click().run()
    assert [title.value for title in app.title] == ["Studies"]
    assert "open sesame" not in str(app.session_state._state.filtered_state)

"""Few pages of viewers are drawn at once, in the order in which they came, and owners wait for none."""

import threading

import pytest

from app.state import turns
from tests.machine import wait_for


def test_viewers_take_turns_and_owners_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads outside of a page are whoever this says they are.
    monkeypatch.setattr(turns, "_is_crowd", lambda: threading.current_thread().name == "viewer")
    inside, most, done = [], [], threading.Event()

    def draw() -> None:
        with turns.turn():
            inside.append(1)
            most.append(len(inside))
            done.wait(30)
            inside.pop()

    viewers = [threading.Thread(target=draw, name="viewer") for _ in range(8)]
    for viewer in viewers:
        viewer.start()
    wait_for(lambda: len(inside) == turns.AT_ONCE)
    with turns.turn():
        assert len(inside) == turns.AT_ONCE
    done.set()
    for viewer in viewers:
        viewer.join(30)
    assert len(most) == 8
    assert max(most) == turns.AT_ONCE


def test_a_page_that_fails_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_is_crowd", lambda: True)
    for _ in range(2 * turns.AT_ONCE):
        with pytest.raises(ValueError, match="drawn badly"), turns.turn():
            raise ValueError("drawn badly")


def test_a_page_that_keeps_its_turn_holds_nobody_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_is_crowd", lambda: True)
    monkeypatch.setattr(turns, "LONGEST", 0.1)
    with turns.turn(), turns.turn(), turns.turn():
        pass
    # Turns that nobody had are not given back.
    assert turns._turns._value == turns.AT_ONCE

"""One check serves all pages that launch the same folder, and goes on when a page is run again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from data.datasets.check import is_checked
from data.datasets.registry import identity
from data.settings import settings
from tests.machine import folder_of_images, functions, wait_for


def page(name: str) -> None:
    """Check a folder as *Launch* does."""
    import streamlit as st

    from app.new_study.folder_check import require_sound
    from engine.errors import UserError

    st.button("Anything else", key="else")
    try:
        require_sound((name,))
        st.title("sound")
    except UserError as error:
        st.error(str(error))


def checks() -> int:
    return sum(thread.name == "folder check" for thread in threading.enumerate())


def waiting_pages() -> int:
    """Return how many threads wait for a check."""
    return sum("_wait" in functions(thread) for thread in threading.enumerate())


def test_pages_that_check_the_same_folder_share_one_check(home: Path, tmp_path: Path) -> None:
    name = f"folder:{folder_of_images(tmp_path / 'images')}"
    content = identity(name, home)
    # Whoever checks these images waits for this lock.
    lock = FileLock(home / "datasets" / f"checked-{content}.lock")
    pages = [AppTest.from_function(page, args=(name,), default_timeout=60) for _ in range(3)]
    with ThreadPoolExecutor(len(pages)) as pool:
        with lock:
            # The first page gives up, as one does that is run again or closed; its check goes on.
            pages[0].default_timeout = 1
            with pytest.raises(RuntimeError, match="timed out"):
                pages[0].run()
            wait_for(lambda: waiting_pages() == 0)
            assert checks() == 1
            runs = [pool.submit(app.run) for app in pages[1:]]
            wait_for(lambda: waiting_pages() == 2)
            assert checks() == 1
        for run in runs:
            assert [title.value for title in run.result().title] == ["sound"]
    assert is_checked(name, content, settings().home)
    wait_for(lambda: checks() == 0)


def test_every_page_is_told_why_a_folder_cannot_be_trained_on(home: Path, tmp_path: Path) -> None:
    del home
    images = folder_of_images(tmp_path / "images")
    (images / "train" / "dark" / "0.png").write_bytes(b"")
    app = AppTest.from_function(page, args=(f"folder:{images}",), default_timeout=60)
    for _ in range(2):
        [error] = app.run().error
        assert "train/dark/0.png is empty" in error.value
        assert not app.title

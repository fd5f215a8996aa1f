"""Pages of an owner say that the disk of the home is full."""

from pathlib import Path

import pytest

from tests.app.dashboard import open_page, rerun
from tests.faults.world import SmallDisk


def test_a_full_disk_is_named_on_every_page_until_it_has_space(home: Path) -> None:
    disk = SmallDisk(home, 8)
    if not disk.mounted:
        pytest.skip(f"no small disk can be mounted: {disk.reason}")
    try:
        for page in ("views/studies.py", "views/glossary.py"):
            ballast = disk.fill()
            app = open_page(page)
            sentence = f"The disk of {home} is full; free some space there."
            assert any(error.value.replace("\\", "").startswith(sentence) for error in app.error)
            ballast.unlink()
            assert not any("full" in error.value for error in rerun(app).error)
    finally:
        disk.unmount()

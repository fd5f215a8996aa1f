"""What every test may use."""

from pathlib import Path

import pytest

from data import settings as settings_module


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private TICKETSCOPE_HOME, for this process and the ones that it starts; nothing of the caller's shines in."""
    folder = tmp_path / "home"
    for variable in settings_module.ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TICKETSCOPE_HOME", str(folder))
    settings_module.settings.cache_clear()
    yield folder
    settings_module.settings.cache_clear()

import stat

import pytest

from app.auth import arrival
from data.settings import settings


def test_the_address_with_the_token_is_in_a_private_file_unless_the_dashboard_has_a_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrival.publish()
    file = settings().dashboard_address
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text().startswith("http://localhost:")
    monkeypatch.setenv("TICKETSCOPE_PASSWORD", "open sesame")
    settings.cache_clear()
    arrival.publish()
    assert not file.exists()


def test_a_home_that_takes_no_file_does_not_stop_the_dashboard(caplog: pytest.LogCaptureFixture) -> None:
    settings().dashboard_address.mkdir(parents=True)
    arrival.publish()
    assert "the address with the token is not saved" in caplog.text

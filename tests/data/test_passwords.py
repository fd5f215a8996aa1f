import pytest

from data.passwords import hashed, is_hash, matches


def test_a_hash_matches_its_password_alone() -> None:
    password_hash = hashed("open sesame")
    assert is_hash(password_hash)
    assert matches("open sesame", password_hash)
    assert not matches("open sesam", password_hash)
    assert not matches("", password_hash)


def test_hashes_do_not_contain_the_password_and_are_salted() -> None:
    assert "sesame" not in hashed("sesame")
    assert hashed("sesame") != hashed("sesame")


@pytest.mark.parametrize("text", ["", "sesame", "scrypt:1:2", "scrypt:16384:8:1:zz:00"])
def test_a_text_that_is_no_hash_is_refused(text: str) -> None:
    assert not is_hash(text)
    with pytest.raises(ValueError, match="ticketscope password"):
        matches("sesame", text)

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


def test_a_hash_of_an_earlier_version_still_opens() -> None:
    # Written by version 0.2.0, with N = 2^14.
    stored = (
        "scrypt:16384:8:1:000102030405060708090a0b0c0d0e0f:"
        "7d37f3a0bc8f007da895288b85f2a303dd90e17a4ac347c66a41f93144ee076e"
        "216142c5bf1bdcedfa976783b2fc3973c56a6d2e69c97c475ddf3ac601ab3921"
    )
    assert is_hash(stored)
    assert matches("open sesame", stored)
    assert not matches("open sesam", stored)
    assert hashed("x").startswith("scrypt:131072:8:1:")

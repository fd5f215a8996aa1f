import pytest

from data.passwords import hashed, is_hash, matches


def test_a_hash_knows_its_password_and_no_other() -> None:
    kept = hashed("open sesame")
    assert is_hash(kept)
    assert matches("open sesame", kept)
    assert not matches("open sesam", kept)
    assert not matches("", kept)


def test_the_password_is_not_in_it_and_equal_ones_differ() -> None:
    assert "sesame" not in hashed("sesame")
    assert hashed("sesame") != hashed("sesame")


@pytest.mark.parametrize("text", ["", "sesame", "scrypt:1:2", "scrypt:16384:8:1:zz:00"])
def test_what_is_no_hash_is_refused(text: str) -> None:
    assert not is_hash(text)
    with pytest.raises(ValueError, match="python -m tasks password"):
        matches("sesame", text)

"""Hashes of passwords, by salted scrypt."""

import hmac
import os
import re
from hashlib import scrypt

# OWASP recommends these parameters for scrypt; a check takes 128 MB and a third of a second. Hashes name their own
# parameters, so that those of earlier versions, with an N of 2^14, still open.
N, R, P = 2**17, 8, 1
MOST_MEMORY = 2**28
FORM = re.compile(r"scrypt:(\d+):(\d+):(\d+):([0-9a-f]+):([0-9a-f]+)")


def hashed(password: str) -> str:
    """Return a hash of a password, with a new salt, for `matches`."""
    salt = os.urandom(16)
    return f"scrypt:{N}:{R}:{P}:{salt.hex()}:{_scrypt(password, salt, N, R, P).hex()}"


def is_hash(text: str) -> bool:
    """Return whether a text is what `hashed` writes."""
    return FORM.fullmatch(text) is not None


def matches(password: str, stored: str) -> bool:
    """Return whether a password has a hash; ValueError for a text that is not a hash from `hashed`."""
    parts = FORM.fullmatch(stored)
    if parts is None:
        raise ValueError("this is no password hash; ticketscope password prints one")
    n, r, p, salt, expected = parts.groups()
    actual = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(actual, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MOST_MEMORY)

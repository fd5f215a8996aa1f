"""Who may use the dashboard: the owner, after a password or on a loopback address; everyone else finds it locked."""

import hmac
import ipaddress
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import scrypt
from typing import Literal

import streamlit as st

from data.settings import settings

Role = Literal["owner"]

# Seconds that the next attempt waits after so many failures in a row: doubling from the first, never beyond the second.
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
# Attempts that wait at once; more are turned away, so that a flood holds no threads.
QUEUE = 8

_ROLE = "access_role"


class Busy(Exception):
    """Too many passwords are being tried at once."""


def _hash(password: str, salt: bytes) -> bytes:
    return scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


@dataclass
class Gate:
    """Checks passwords against one that is kept only as a salted scrypt hash; failures slow down whoever comes next."""

    salt: bytes
    expected: bytes
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    open_at: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(QUEUE))

    @classmethod
    def of(cls, password: str) -> "Gate":
        """Return a gate that opens to a password."""
        salt = os.urandom(16)
        return cls(salt, _hash(password, salt))

    def admits(self, password: str) -> bool:
        """Return whether a password is the right one, after the wait that earlier failures brought; may raise Busy."""
        if not self.waiting.acquire(blocking=False):
            raise Busy
        try:
            with self.turn:
                self.sleep(max(0.0, self.open_at - self.clock()))
                right = hmac.compare_digest(_hash(password, self.salt), self.expected)
                self.failures = 0 if right else self.failures + 1
                wait = 0.0 if right else min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self.failures - 1))
                self.open_at = self.clock() + wait
                return right
        finally:
            self.waiting.release()


def is_loopback(address: str | None) -> bool:
    """Return whether a server that listens on an address hears this machine only; None means all addresses."""
    if address == "localhost":
        return True
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def role_without_password(address: str | None) -> Role | None:
    """Return the role of a visitor where no password is set: owner on a loopback address, none anywhere else."""
    return "owner" if is_loopback(address) else None


@st.cache_resource
def _gate() -> Gate | None:
    password = settings().password
    return None if password is None else Gate.of(password)


def is_owner() -> bool:
    """Return whether this visitor may use the dashboard."""
    if _gate() is None:
        return role_without_password(st.get_option("server.address")) == "owner"
    return st.session_state.get(_ROLE) == "owner"


def require_owner() -> None:
    """Let the owner pass; show everyone else the login form or why the dashboard is locked, and stop the page.

    Every page calls this for itself too: no way into its file may lead around the gate.
    """
    if is_owner():
        return
    gate = _gate()
    if gate is None:
        _locked(st.get_option("server.address"))
    else:
        _login(gate)
    st.stop()


def _locked(address: str | None) -> None:
    st.title("Locked")
    st.error(
        f"This dashboard listens on {address or 'all addresses'}, beyond this machine, and no password is set.",
        icon=":material/lock:",
    )
    st.markdown(
        "Set `TICKETSCOPE_PASSWORD` and start it again, or let it listen on this machine only: "
        "`--server.address localhost`."
    )


def _login(gate: Gate) -> None:
    with st.container(key="login", width=420):
        st.title("Ticketscope")
        with st.form("login_form", border=False):
            # An invisible name lets password managers file the password under something.
            password = st.text_input("Password", type="password", autocomplete="current-password", key="login_password")
            sent = st.form_submit_button("Log in", type="primary", width="stretch")
        if not sent:
            return
        try:
            right = gate.admits(password)
        except Busy:
            st.error("Too many passwords are being tried at the moment. Wait a few seconds, then try again.")
            return
        if not right:
            st.error("That is not the password. It is `TICKETSCOPE_PASSWORD` of the machine that runs Ticketscope.")
            return
    st.session_state[_ROLE] = "owner"
    st.rerun()

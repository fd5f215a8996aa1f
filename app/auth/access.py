"""Who may see what: the owner sees everything, a viewer what a link shows, and all others a login form.

A session never gains rights by itself: one that opened a link stays a viewer, even if its address changes later, and
one without a link or a login sees nothing.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import words
from app.auth import sessions
from app.auth.guard import UPLOADERS
from app.auth.peers import is_at_this_machine, is_loopback
from app.auth.sessions import SESSIONS
from app.state import audience, script
from data import shared_links
from data.database.database import DatabaseError
from data.passwords import matches
from data.settings import Settings, settings
from data.shared_links import TOKEN, Share

# Seconds that an attempt waits after a wrong password; each further failure in a row doubles them, up to the longest.
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
# The most attempts that wait at once; others are refused, so that a flood of them occupies no threads.
QUEUE = 8

_SESSION, _TICKET = "access_session", "access_ticket"
# Streamlit ends a login by OIDC at the root, so the tab keeps the address that the visitor wanted, and returns there.
_KEEP_ADDRESS = "sessionStorage.setItem('ticketscope-wanted', location.href)"
_RETURN_TO_ADDRESS = """
(() => {
  const wanted = sessionStorage.getItem("ticketscope-wanted");
  sessionStorage.removeItem("ticketscope-wanted");
  if (wanted && wanted !== location.href) location.replace(wanted);
})()
"""


class Busy(Exception):
    """Too many passwords are being tried at once."""


@dataclass
class Gate:
    """Checks passwords against a hash; each failure delays the next attempt, whoever makes it."""

    password_hash: str
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    open_at: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(QUEUE))

    def admits(self, password: str) -> bool:
        """Return whether a password is right, after the wait that earlier failures cause; raises Busy."""
        if not self.waiting.acquire(blocking=False):
            raise Busy
        try:
            with self.turn:
                self.sleep(max(0.0, self.open_at - self.clock()))
                right = matches(password, self.password_hash)
                self.failures = 0 if right else self.failures + 1
                wait = 0.0 if right else min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self.failures - 1))
                self.open_at = self.clock() + wait
                return right
        finally:
            self.waiting.release()


def is_owners(email: str | None, verified: bool, owners: str) -> bool:
    """Return whether an e-mail of an OIDC login is an owner's; owners: addresses or @domains, with commas between."""
    if not email or not verified:
        return False
    email = email.casefold()
    listed = [entry.strip().casefold() for entry in owners.split(",") if entry.strip()]
    return any(email.endswith(entry) if entry.startswith("@") else email == entry for entry in listed)


def has_oidc() -> bool:
    """Return whether Streamlit's secrets name an OIDC provider."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def _gate() -> Gate | None:
    return _gate_of(settings())


# Streamlit's own cache would not do: its content can be dropped while the process runs, and with it the wait.
@lru_cache(maxsize=1)
def _gate_of(config: Settings) -> Gate | None:
    login_hash = config.login_hash
    return None if login_hash is None else Gate(login_hash)


def is_open() -> bool:
    """Return whether the dashboard has no login: it opens to its own account, and to who knows this start's address."""
    return _gate() is None and not has_oidc() and is_loopback(st.get_option("server.address"))


def arrive() -> None:
    """Remember the link that this session opened, if any; call it before the page draws anything."""
    token = st.query_params.get(TOKEN)
    if token is not None:
        st.session_state[audience.TOKEN] = token
    elif audience.is_viewer():
        # A reload, or the reconnection to a dashboard that was restarted, begins a session of what the address names.
        st.query_params[TOKEN] = st.session_state[audience.TOKEN]
    if is_owner() and (context := get_script_run_ctx(suppress_warning=True)) is not None:
        UPLOADERS.admit(context.session_id)
    if can_log_out() and has_oidc():
        script.run("return", _RETURN_TO_ADDRESS)
    ticket = st.session_state.get(_TICKET)
    # Every run sends it until the server has it: a second run may replace the page before the browser ran the script.
    if ticket is not None and SESSIONS.waits(ticket):
        script.run("ticket", sessions.script(ticket))


def _sessions() -> tuple[str | None, str | None]:
    """Return the login tokens of this window and of its browser, None for one that has none."""
    return st.session_state.get(_SESSION), st.context.cookies.get(sessions.COOKIE)


def can_log_out() -> bool:
    """Return whether this visitor has logged in and so can log out."""
    return is_owner() and not _is_own_account()


def log_out() -> None:
    """Log out, in all windows of this browser."""
    if has_oidc() and st.user.is_logged_in:
        st.logout()
        return
    for token in _sessions():
        SESSIONS.end(token)
    st.session_state.clear()
    st.switch_page("views/studies.py")


def is_owner() -> bool:
    """Return whether this visitor may do everything."""
    if audience.is_viewer():
        return False
    if has_oidc() and st.user.is_logged_in:
        verified = st.user.get("email_verified", True) is not False
        email = st.user.get("email")
        return is_owners(str(email) if email else None, verified, settings().owners)
    return _is_own_account() or any(map(SESSIONS.holds, _sessions()))


def _is_own_account() -> bool:
    return is_open() and is_at_this_machine(st.context.headers)


def link() -> Share | None:
    """Return the link of this session, None unless it works now, and record that it is used; raises DatabaseError."""
    share = audience.link()
    if share is not None:
        # A viewer's page must not fail because the time of its last use cannot be written.
        with suppress(DatabaseError):
            shared_links.touch(audience.whole_database(), share)
    return share


def may_see(study_id: str) -> bool:
    """Return whether this visitor may read a study."""
    if is_owner():
        return True
    share = link()
    return share is not None and study_id in share.study_ids


def require_owner() -> None:
    """Stop the page unless the owner opened it, and show a login form or the reason.

    Every page calls this itself too, however its file comes to run.
    """
    if is_owner():
        return
    if audience.is_viewer():
        _beyond_link()
    elif has_oidc():
        _oidc()
    elif (gate := _gate()) is not None:
        _login(gate)
    else:
        _locked(st.get_option("server.address"))
    st.stop()


def _beyond_link() -> None:
    st.title("Not part of this link", anchor=False)
    st.error("The link that you opened does not show this page.", icon=":material/lock:")
    st.caption("This tab stays with the link; an owner opens the dashboard in a new tab.")
    token = {TOKEN: st.session_state[audience.TOKEN]}
    st.page_link(
        "views/shared.py", label="Back to what the link shows", icon=":material/arrow_back:", query_params=token
    )


def _locked(address: str | None) -> None:
    st.title("Locked", anchor=False)
    if is_loopback(address):
        cause = "This dashboard opens by itself only to the account that runs it, on the machine itself"
        remedy = (
            "If it is yours, open the address with `token=` that `ticketscope up` printed. It is a new one after every "
            "start; `ticketscope up` in a second terminal prints it again.\n\nTo let others in, set "
            "`TICKETSCOPE_PASSWORD` or a login by OIDC and start the dashboard again."
        )
    else:
        cause = f"This dashboard listens on {address or 'all addresses'}, beyond this machine"
        remedy = (
            "Set `TICKETSCOPE_PASSWORD` or a login by OIDC and start the dashboard again, or let it listen on this "
            "machine only: `--server.address localhost`."
        )
    st.error(f"{cause}, and neither a password nor a login is set up.", icon=":material/lock:")
    st.markdown(remedy)


def _oidc() -> None:
    with st.container(key="login", width=420):
        st.title("Ticketscope", anchor=False)
        if not st.user.is_logged_in:
            script.run("keep", _KEEP_ADDRESS)
            st.button("Log in", type="primary", on_click=st.login, key="oidc_login", width="stretch")
            return
        st.error(
            f"{words.plain(str(st.user.get('email') or 'This account'))} is not among the owners of this dashboard. "
            "Ask the person who runs it to add the address to `TICKETSCOPE_OWNERS`.",
            icon=":material/lock:",
        )
        st.button("Log out", on_click=st.logout, key="oidc_logout", width="stretch")


def _login(gate: Gate) -> None:
    with st.container(key="login", width=420):
        st.title("Ticketscope")
        with st.form("login_form", border=False):
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
            st.error("The password is wrong. It is `TICKETSCOPE_PASSWORD` on the machine that runs Ticketscope.")
            return
    token = SESSIONS.begin()
    st.session_state[_SESSION], st.session_state[_TICKET] = token, SESSIONS.ticket(token)
    st.rerun()

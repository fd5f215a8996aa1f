"""What a browser shows of a page outside of it: the title and icon of its tab, and a notification when a study ends."""

import json
from pathlib import Path

import streamlit as st

from app import words
from app.state import address, script
from app.state.queries import FINISHED
from data.queries.studies import StudyRecord

_APP = Path(__file__).resolve().parents[1]
ICON = str(_APP / "icon.svg")
# A cancelled study has no icon of its own.
_ICONS = {state: str(_APP / f"icon-{state}.svg") for state in ("running", "done", "failed")}

# The icon that this session's tab has.
_SHOWN = "attention_icon"
# The state of each study when this session drew it last.
_SEEN = "attention_seen"
# The studies that this session cancelled.
_CANCELLED = "attention_cancelled"
_SENTENCES = {"done": "is done", "failed": "has ended with failed stages", "cancelled": "was cancelled"}
_TOASTS = {"done": "check_circle", "failed": "error", "cancelled": "cancel"}

# A browser asks for the permission only while it handles a click, so the click is not left to the server.
_ASK = """
(() => {
  const say = () => {
    const place = document.querySelector(".ticketscope-notify");
    if (!place) return;
    const chosen = document.querySelector(".st-key-notify input")?.checked;
    const permission = window.Notification ? Notification.permission : "none";
    place.textContent = !chosen || permission === "granted" ? "" : {
      none: "This browser notifies only pages that were opened by https or on this machine.",
      denied: "This browser blocks notifications of this page; allow them in its settings for the page.",
      default: "The browser was not allowed yet to notify you; switch it off and on.",
    }[permission];
  };
  if (!window.ticketscopeNotify) {
    window.ticketscopeNotify = true;
    document.addEventListener("click", event => {
      if (!event.target.closest?.(".st-key-notify")) return;
      if (window.Notification?.permission === "default") Notification.requestPermission().then(say, say);
    }, true);
  }
  say();
})()
"""
# Some browsers know notifications, but not from a page.
_NOTIFY = """
(() => {
  if (window.Notification?.permission !== "granted") return;
  try { new Notification(%s, {tag: %s}); } catch {}
})()
"""


def icon() -> str:
    """Return the icon that the tab of this session has.

    A page sends it before all else: without one, a browser asks another machine for that of the menu. A run that is
    interrupted may lose what it sent, so every run sends it.
    """
    return str(st.session_state.get(_SHOWN, ICON))


def title(name: str) -> None:
    """Name a page in the tab of the browser."""
    _set(f"{name} · Ticketscope", ICON)


def study_title(record: StudyRecord, fraction: float) -> None:
    """Name a study and its state in the tab of the browser, while it trains with the fraction of trained epochs."""
    _set(study_words(record, fraction), _ICONS.get("running" if record.state not in FINISHED else record.state, ICON))


def study_words(record: StudyRecord, fraction: float) -> str:
    """Return the title of a study's page: '43 % · Three rates' while it trains, 'Three rates · done' afterwards."""
    name = " ".join(record.study.name.split())
    # 100 % would say that nothing is left to do.
    return f"{name} · {record.state}" if record.state in FINISHED else f"{min(99, int(100 * fraction))} % · {name}"


def _set(page_title: str, page_icon: str) -> None:
    # A browser loads an icon anew whenever it is sent.
    changed = page_icon != icon() or _SHOWN not in st.session_state
    st.session_state[_SHOWN] = page_icon
    st.set_page_config(page_title=page_title, page_icon=page_icon if changed else None)


def offer() -> None:
    """Show the switch for a notification when a study ends."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content", key="notify_choice"):
        st.toggle(
            "Notify me when it ends",
            key=address.one("notify", (False, True)),
            persist_state="page",
            help="By a notification of the browser, while this page is open, also in a tab behind others.",
        )
        st.html("<small class='ticketscope-notify'></small>")
    script.run("notify", _ASK)


def announce(record: StudyRecord) -> None:
    """Say that a study has ended, if it had not when this session drew it last."""
    seen: dict[str, str] = st.session_state.setdefault(_SEEN, {})
    before, seen[record.study_id] = seen.get(record.study_id), record.state
    if before is None or before in FINISHED or record.state not in FINISHED:
        return
    if record.state == "cancelled" and record.study_id in st.session_state.get(_CANCELLED, ()):
        return
    sentence = _SENTENCES[record.state]
    st.toast(
        f"**{words.plain(record.study.name)}** {sentence}.",
        icon=f":material/{_TOASTS[record.state]}:",
        duration="infinite",
    )
    wanted = st.session_state.get("notify")
    address.drop("notify")
    if wanted:
        script.run("ended", notification(f"{record.study.name} {sentence}", record.study_id))


def cancelled_here(study_id: str) -> None:
    """Note that the reader has cancelled a study in this tab, who needs no notice of it."""
    st.session_state.setdefault(_CANCELLED, set()).add(study_id)


def notification(text: str, tag: str) -> str:
    """Return the script that shows a notification if the reader has allowed it; tag: equal ones are shown once."""
    return _NOTIFY % (_literal(text), _literal(tag))


def _literal(text: str) -> str:
    """Return text as a literal of JavaScript that also a page of HTML may hold."""
    return json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e")

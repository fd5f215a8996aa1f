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

_HAS_ICON = "attention_icon"
# The state of each study when this session drew it last.
_SEEN = "attention_seen"
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


def first_icon() -> str | None:
    """Return the usual icon for the first run of a session, None afterwards, when the tab has that of its page.

    Without an icon, a browser would ask another machine for that of the menu.
    """
    first = not st.session_state.get(_HAS_ICON)
    st.session_state[_HAS_ICON] = True
    return ICON if first else None


def title(name: str) -> None:
    """Name a page in the tab of the browser."""
    st.set_page_config(page_title=f"{name} · Ticketscope", page_icon=ICON)


def study_title(record: StudyRecord, fraction: float, with_icon: bool = True) -> None:
    """Name a study and its state in the tab of the browser, while it trains with the fraction of trained epochs.

    with_icon: False where only the fraction may have changed, since a browser loads an icon anew.
    """
    icon = _ICONS.get("running" if record.state not in FINISHED else record.state, ICON)
    st.set_page_config(page_title=study_words(record, fraction), page_icon=icon if with_icon else None)


def study_words(record: StudyRecord, fraction: float) -> str:
    """Return the title of a study's page: '43 % · Three rates' while it trains, 'Three rates · done' afterwards."""
    name = " ".join(record.study.name.split())
    # 100 % would say that nothing is left to do.
    return f"{name} · {record.state}" if record.state in FINISHED else f"{min(99, int(100 * fraction))} % · {name}"


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


def notification(text: str, tag: str) -> str:
    """Return the script that shows a notification if the reader has allowed it; tag: equal ones are shown once."""
    return _NOTIFY % (_literal(text), _literal(tag))


def _literal(text: str) -> str:
    """Return text as a literal of JavaScript that also a page of HTML may hold."""
    return json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e")

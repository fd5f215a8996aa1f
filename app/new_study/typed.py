"""Counting what is typed into a field after a pause, so that a reload of the page keeps it."""

from app.state import script

# Milliseconds of a pause in typing.
PAUSE = 500

# Streamlit's text inputs can do this, its text areas cannot; they take Ctrl+Enter for the end of typing.
_APPLY = f"""
if (!window.ticketscopeTyped) {{
  window.ticketscopeTyped = new Map();
  document.addEventListener("input", event => {{
    const area = event.target;
    if (!(area instanceof HTMLTextAreaElement)) return;
    clearTimeout(window.ticketscopeTyped.get(area));
    const enter = {{key: "Enter", code: "Enter", keyCode: 13, ctrlKey: true, bubbles: true, cancelable: true}};
    const apply = () => area.dispatchEvent(new KeyboardEvent("keydown", enter));
    window.ticketscopeTyped.set(area, setTimeout(apply, {PAUSE}));
  }});
}}
"""


def apply_text_areas() -> None:
    """Let the text areas of all pages that this tab opens count what is typed after a pause."""
    script.run("typed", _APPLY)

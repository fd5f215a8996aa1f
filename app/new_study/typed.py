"""What the fields of a page do in the browser: count what is typed after a pause, and speak of their help."""

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

# Of the help and the error below a field, a screen reader speaks when the field gets the focus.
_DESCRIBE = """
if (!window.ticketscopeDescribed) {
  window.ticketscopeDescribed = true;
  document.addEventListener("focusin", event => {
    const box = event.target.closest?.("[class*='st-key-with-']");
    if (!box || !event.target.matches("input, textarea")) return;
    const error = box.querySelectorAll("[class*='st-key-error-']");
    const texts = [...error, ...box.querySelectorAll("[data-testid=stCaptionContainer]")];
    const name = [...box.classList].find(one => one.startsWith("st-key-with-"));
    texts.forEach((text, number) => { text.id ||= `${name}-${number}`; });
    event.target.setAttribute("aria-describedby", texts.map(text => text.id).join(" "));
    event.target.setAttribute("aria-invalid", String(error.length > 0));
  });
}
"""


def apply_text_areas() -> None:
    """Let the text areas of all pages that this tab opens count what is typed after a pause."""
    script.run("typed", _APPLY)


def describe_fields() -> None:
    """Let screen readers speak of the help and the error below a field, which `form` draws, when it gets the focus."""
    script.run("described", _DESCRIBE)

"""New study: a form with all fields of a study, and its plan beside it, updated with every change."""

import json
from html import escape

import streamlit as st

from app import words
from app.auth import access
from app.new_study import filling, form, from_paper, from_toml, launch, presets, saved_drafts, typed
from app.new_study.draft import ORIGIN, Draft, draft_of
from app.new_study.presets import PRESETS
from app.new_study.preview import CheckedForm, check_form
from app.state import live, plugins, queries, script
from data.queries.studies import UnknownStudy
from data.settings import settings
from engine.study.spec import Study, StudyError, load_study, to_toml

# The parameter of the address with the id of the draft, and session keys: that id, and the draft that is saved.
DRAFT = "draft"
_DRAFT_ID, _SAVED = "new_study_draft", "new_study_saved"
# What the form can be filled in from beside the presets, with the session key of the choice.
FROM, FIGURE, TOML = "start_from", "figure", "toml"

# The most characters of what prevents a launch beside the button; the plan has all.
LONGEST_REASON = 160
_GROUPS = {"recipe": "Recipe", "admm": "ADMM"}

# The line with Launch stays in view: below the menu once the page has scrolled past it, at the foot before. What gets
# the focus is scrolled clear of it.
STYLE = """<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-launch_bar) {position: sticky; top: 3.75rem; bottom: 0; z-index: 90;}
.st-key-launch_bar {background: light-dark(#f5f6f9, #1e212a); padding: 0.6rem 1rem;}
[data-testid="stMain"] {scroll-padding-block: 9rem 6rem;}
@media (min-width: 641px) {.st-key-plan {position: sticky; top: 9rem;}}
</style>"""

# The text of a button to copy is in the element beside it; browsers give the clipboard only to secure pages.
_COPY = """
if (!window.ticketscopeCopies) {
  window.ticketscopeCopies = true;
  document.addEventListener("click", async event => {
    const box = event.target.closest?.("button") && event.target.closest("[class*='st-key-copied-']");
    const place = box?.querySelector(".ticketscope-copy");
    if (!place) return;
    const text = place.dataset.text;
    let copied = true;
    try { await navigator.clipboard.writeText(text); }
    catch {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      copied = document.execCommand("copy");
      area.remove();
    }
    place.textContent = copied ? "Copied" : "This browser does not let a page copy; select the text instead";
    setTimeout(() => { place.textContent = ""; }, 4000);
  });
}
"""


def fill() -> None:
    """Fill in the form from the preset, study or figure in the address, or with the demo if the form is empty."""
    preset = presets.preset(st.query_params.get("preset"))
    copied = st.query_params.get("copy")
    figure = st.query_params.get("paper")
    scale, data = st.query_params.get("scale"), st.query_params.get("data")
    saved = st.query_params.get(DRAFT)
    if figure is not None:
        try:
            from_paper.load(figure, scale or "paper", data)
        except StudyError as error:
            st.error(words.plain(str(error)))
    if copied is not None:
        try:
            study = queries.study(copied).study
        except UnknownStudy:
            st.error(queries.why_missing(copied))
        else:
            filling.replace(draft_of(study.model_copy(update={"name": f"{study.name} (copy)"[:100]})))
    if preset is not None or not form.is_filled():
        filling.replace(filling.first((preset or PRESETS[0]).study()))
        if preset is None and saved is not None:
            form.fill(saved_drafts.load(settings().home, saved) or {})


def save(draft: Draft) -> None:
    """Save what differs from the first preset, and name it in the address, so that a reload of the page restores it."""
    text = json.dumps(draft)
    if text != st.session_state.get(_SAVED, json.dumps(filling.first(PRESETS[0].study()))):
        # A tab that was duplicated has the address of the other, but soon another draft.
        draft_id = st.session_state.setdefault(_DRAFT_ID, saved_drafts.new_id())
        saved_drafts.save(settings().home, draft_id, draft)
        st.session_state[_SAVED] = text
    address = {DRAFT: st.session_state[_DRAFT_ID]} if _DRAFT_ID in st.session_state else {}
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def choose_preset() -> None:
    """Let the reader fill in the form from a preset, a figure of the paper or a TOML file."""
    preset = _unchanged_preset()
    chosen = st.session_state.get(FROM)
    st.session_state[FROM] = chosen if chosen in (FIGURE, TOML) else preset.name if preset else None
    titles = {**{one.name: one.title for one in PRESETS}, FIGURE: "A figure of the paper", TOML: "A TOML file"}
    st.pills("Start from", list(titles), format_func=titles.__getitem__, key=FROM, on_change=_use, wrap=True)
    with st.container(horizontal=True, vertical_alignment="center", key="start_from_about"):
        if preset is not None:
            st.caption(preset.about, width="content")
        filling.offer_back()
    if chosen == FIGURE:
        from_paper.choose()
    elif chosen == TOML:
        from_toml.choose()


def _use() -> None:
    preset = presets.preset(st.session_state[FROM])
    if preset is not None:
        filling.replace(filling.first(preset.study()))


def _unchanged_preset() -> presets.Preset | None:
    """Return the preset that filled in the form, unless its values were changed since."""
    origin = form.draft()[ORIGIN]
    if not origin or filling.changes(form.draft()):
        return None
    return next((preset for preset in PRESETS if preset.study().name == origin["name"]), None)


def launch_bar(checked: CheckedForm) -> None:
    """Show what a launch would do, in a line that stays in view, and the button; or what prevents it."""
    study, plan = checked.study, checked.plan
    workers, trouble = live.workers()
    reason = _reason(checked.errors) or trouble
    with st.container(border=True, key="launch_bar", gap="xsmall"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(gap=None, key="launch_outcome"):
                if plan is not None:
                    st.markdown(launch.outcome(plan))
                if reason is not None:
                    st.markdown(f":small[:red[{words.plain(reason)}]]")
                elif not workers:
                    st.caption(
                        "No worker is running: the study will wait in the queue. *Workers* says how to start one."
                    )
            clicked = st.button(
                "Launch study",
                type="primary",
                icon=":material/rocket_launch:",
                disabled=reason is not None or plan is None,
                key="launch",
            )
        if study is not None and plan is not None:
            if clicked:
                launch.request(study, plan)
            launch.questions(study, plan)


def _reason(errors: dict[str, str]) -> str | None:
    """Return which fields prevent a launch, and why if it is one; None if none does."""
    if not errors:
        return None
    labels = [form.LABELS.get(name, _GROUPS.get(name, "")).partition(",")[0] for name in errors]
    if len(errors) > 1:
        return f"Correct {words.listing([label or 'the study' for label in labels])} to launch."
    [message] = errors.values()
    first = message.partition("\n")[0]
    short = first if len(first) <= LONGEST_REASON else f"{first[:LONGEST_REASON]}…"
    return f"{labels[0]}: {short}" if labels[0] else words.sentence(short)


def show_plan(checked: CheckedForm) -> None:
    """Show the plan of the form's study, or all that prevents its launch."""
    st.header("Plan", anchor=False)
    if checked.plan is not None:
        launch.plan_numbers(checked.plan)
    else:
        with st.container(key="problems"):
            st.markdown("**Not ready to launch**")
            for name, message in checked.errors.items():
                label = form.LABELS.get(name, "")
                st.markdown(f"- {label + ': ' if label else ''}{words.lines(message)}")
    launch.warnings(checked.warnings)
    if checked.study is not None:
        _as_file(checked.study)


def _as_file(study: Study) -> None:
    preset = next((preset for preset in PRESETS if _same(preset, study)), None)
    named = preset.command if preset else from_paper.command(study)
    command, toml = f"ticketscope launch {named or 'study.toml'}", to_toml(study)
    st.caption("The same from the command line" + ("" if named else ", with the TOML saved as study.toml"))
    st.code(command, language=None, wrap_lines=True)
    with st.container(horizontal=True, gap="small"):
        _copy("Copy command", command, "command")
        _copy("Copy TOML", toml, "toml")
        st.download_button(
            "Download study.toml",
            toml,
            "study.toml",
            "application/toml",
            icon=":material/download:",
            on_click="ignore",
            key="toml_download",
        )
    script.run("copy", _COPY)


def _copy(label: str, text: str, key: str) -> None:
    with st.container(key=f"copied-{key}", width="content", gap=None):
        st.button(label, icon=":material/content_copy:", key=f"copy-{key}")
        st.html(f"<small class='ticketscope-copy' role='status' data-text='{escape(text)}'></small>")


def _same(preset: presets.Preset, study: Study) -> bool:
    path = presets.STUDIES / f"{preset.name}.toml"
    return path.exists() and load_study(path) == study


def page() -> None:
    """Draw the page."""
    st.title("New study", anchor=False)
    plugins.warn()
    fill()
    filling.follow_changes()
    choose_preset()
    draft = form.draft()
    save(draft)
    checked = check_form(draft)
    typed.apply_text_areas()
    form.draw_essentials(checked)
    launch_bar(checked)
    fields, beside = st.columns([3, 2], gap="large")
    with fields:
        form.draw_others(checked)
    with beside, st.container(border=True, key="plan"):
        show_plan(checked)


st.html(STYLE)
access.require_owner()
page()

"""New study: a form with all fields of a study, and its plan beside it, updated with every change."""

import json

import streamlit as st

from app import words
from app.auth import access
from app.new_study import form, from_paper, launch, presets, saved_drafts, typed
from app.new_study.draft import Draft, draft_of
from app.new_study.presets import PRESETS
from app.new_study.preview import CheckedForm, check_form
from app.state import live, queries
from data.queries.studies import UnknownStudy
from data.settings import settings
from engine.study.spec import Study, StudyError, load_study, read_study, to_toml
from tasks.studies.planning import PlanPreview

# The parameter of the address with the id of the draft, and session keys: that id, and the draft that is saved.
DRAFT = "draft"
_DRAFT_ID, _SAVED = "new_study_draft", "new_study_saved"


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
            form.load(study.model_copy(update={"name": f"{study.name} (copy)"[:100]}))
    if preset is not None or not form.is_filled():
        form.load((preset or PRESETS[0]).study())
        if preset is None and saved is not None:
            form.fill(saved_drafts.load(settings().home, saved) or {})


def save(draft: Draft) -> None:
    """Save what differs from the first preset, and name it in the address, so that a reload of the page restores it."""
    text = json.dumps(draft)
    if text != st.session_state.get(_SAVED, json.dumps(draft_of(PRESETS[0].study()))):
        # A tab that was duplicated has the address of the other, but soon another draft.
        draft_id = st.session_state.setdefault(_DRAFT_ID, saved_drafts.new_id())
        saved_drafts.save(settings().home, draft_id, draft)
        st.session_state[_SAVED] = text
    address = {DRAFT: st.session_state[_DRAFT_ID]} if _DRAFT_ID in st.session_state else {}
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def choose_preset() -> None:
    """Let the reader fill in the form from a preset, a figure of the paper or a TOML file."""
    st.caption("Start from")
    for column, preset in zip(st.columns(len(PRESETS)), PRESETS, strict=True):
        with column, st.container(border=True, key=f"preset-{preset.name}", height="stretch", gap="xsmall"):
            st.button(preset.title, key=f"use-{preset.name}", on_click=_use, args=(preset.name,), width="stretch")
            st.caption(preset.about)
    from_paper.choose()
    with st.expander("From a TOML file", icon=":material/upload_file:", key="from_toml"):
        st.file_uploader("Upload a study", type="toml", key="toml_upload", max_upload_size=1)
        st.text_area("or paste one", key="toml_text", height=160, placeholder='name = "My study"\n…')
        st.button("Fill in the form", key="toml_use", on_click=_use_text)
        if problem := st.session_state.get("toml_problem"):
            with st.container(key="toml_problem_shown"):
                st.error(problem)


def _use(name: str) -> None:
    preset = presets.preset(name)
    if preset is not None:
        form.load(preset.study())


def _use_text() -> None:
    upload, pasted = st.session_state["toml_upload"], st.session_state["toml_text"]
    content = upload.getvalue() if upload is not None and not pasted.strip() else pasted
    st.session_state["toml_problem"] = None
    try:
        form.load(read_study(content))
    except StudyError as error:
        st.session_state["toml_problem"] = words.lines(str(error))


def show_plan(checked: CheckedForm) -> None:
    """Show the plan of the form's study and a button that launches it, or what prevents that."""
    study, plan, errors = checked.study, checked.plan, checked.errors
    st.subheader("Plan", anchor=False)
    if plan is not None:
        launch.plan_numbers(plan)
    else:
        with st.container(key="problems"):
            st.markdown("**Not ready to launch**")
            for name, message in errors.items():
                label = form.LABELS.get(name, "")
                st.markdown(f"- {label + ': ' if label else ''}{words.lines(message)}")
    launch.warnings(checked.warnings)
    workers, trouble = live.workers()
    reason = _reason(plan, errors, trouble)
    if st.button(
        "Launch study", type="primary", icon=":material/rocket_launch:", disabled=reason is not None, width="stretch",
        key="launch",
    ) and study is not None and plan is not None:  # fmt: skip
        launch.request(study, plan)
    if study is not None and plan is not None:
        launch.questions(study, plan)
    if reason is not None:
        st.markdown(f":small[:red[{words.plain(reason)}]]")
    elif not workers:
        st.caption("No worker is running: the study will wait in the queue until one starts. *Workers* says how.")
    if study is not None:
        _as_file(study)


def _reason(plan: PlanPreview | None, errors: dict[str, str], trouble: str | None) -> str | None:
    """Return why the study cannot be launched now, None if it can."""
    if errors or plan is None:
        return f"Fix {words.plural(len(errors), 'problem')} first."
    return trouble


def _as_file(study: Study) -> None:
    preset = next((preset for preset in PRESETS if _same(preset, study)), None)
    st.caption("The same from the command line")
    named = preset.command if preset else from_paper.command(study)
    st.code(f"ticketscope launch {named or 'study.toml'}", language="bash", wrap_lines=True)
    st.download_button(
        "Download study.toml",
        to_toml(study),
        "study.toml",
        "application/toml",
        icon=":material/download:",
        on_click="ignore",
        key="toml_download",
    )


def _same(preset: presets.Preset, study: Study) -> bool:
    path = presets.STUDIES / f"{preset.name}.toml"
    return path.exists() and load_study(path) == study


def page() -> None:
    """Draw the page."""
    st.title("New study", anchor=False)
    fill()
    choose_preset()
    draft = form.draft()
    save(draft)
    checked = check_form(draft)
    typed.apply_text_areas()
    fields, beside = st.columns([3, 2], gap="large")
    with fields:
        form.draw(checked.errors)
    with beside, st.container(border=True, key="plan"):
        show_plan(checked)


st.html("<style>@media (min-width: 641px) {.st-key-plan {position: sticky; top: 4.5rem;}}</style>")
access.require_owner()
page()

"""Filling in the New study form with a way back, and words of a preset that do not stay when its values change."""

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import words
from app.new_study import form
from app.new_study.draft import CHOICES, FOLDER, LISTS, ORIGIN, PARTS, Draft, draft_of, fields
from engine.study.spec import Study

# Session keys: what was in the form before it was filled in, and what a text filled in that is being typed.
_BEFORE, _TYPED = "form_before", "form_typed"
# The most changed fields that a note names.
_MOST_NAMED = 4


def first(study: Study) -> Draft:
    """Return the form's content for a preset or figure, with which later changes are compared."""
    draft = draft_of(study)
    return {**draft, ORIGIN: draft}


def replace(draft: Draft, typed: bool = False) -> None:
    """Fill in the form; `offer_back` then offers what was in it before.

    typed: the draft comes from a text that is being typed, so what the text filled in before is not worth a way back.
    """
    before = form.draft()
    if form.is_filled() and before != draft and not (typed and before == st.session_state.get(_TYPED)):
        st.session_state[_BEFORE] = before
    form.fill(draft)
    st.session_state[_TYPED] = form.draft() if typed else None


def offer_back() -> None:
    """Show the button that exchanges the form's content with that of before the form was filled in."""
    before = st.session_state.get(_BEFORE)
    if before is not None and before != form.draft():
        st.button(
            "Bring back what was in the form", icon=":material/undo:", type="tertiary", key="form_back", on_click=_back
        )


def _back() -> None:
    before, st.session_state[_BEFORE] = st.session_state[_BEFORE], form.draft()
    form.fill(before)


def follow_changes() -> None:
    """Rename a preset and exchange its note once its values are changed, unless the author has written others."""
    for name, text in renamed(form.draft()).items():
        st.session_state[form.key(name)] = text


def renamed(draft: Draft) -> dict[str, str]:
    """Return the name and the note that a changed preset gets in place of its own; again its own once changed back."""
    origin = draft.get(ORIGIN)
    if not isinstance(origin, Mapping):
        return {}
    name, note = str(origin.get("name", "")), str(origin.get("note", ""))
    changed = changes(draft)
    new_name = f"{name[:90]} (changed)"
    after = f"Based on “{name}”, with other "
    is_own = {"name": draft["name"] in (name, new_name), "note": draft["note"] == note}
    is_own["note"] |= re.fullmatch(rf"{re.escape(after)}[^.]*\.", draft["note"]) is not None
    if changed:
        named = [form.LABELS.get(field, "parts").partition(",")[0] for field in changed[:_MOST_NAMED]]
        named = [label if label[1:2].isupper() else label[:1].lower() + label[1:] for label in named]
        named += [words.plural(len(changed) - _MOST_NAMED, "further setting")] * (len(changed) > _MOST_NAMED)
        name, note = new_name, f"{after}{words.listing(named)}."
    own = {"name": name, "note": note}
    return {field: text for field, text in own.items() if is_own[field] and draft[field] != text}


def changes(draft: Draft) -> list[str]:
    """Return the fields, but for name and note, that differ from those of the preset that filled in the form."""
    origin = draft.get(ORIGIN)
    if not isinstance(origin, Mapping):
        return []
    compared = [name for name in [*fields(), FOLDER, PARTS] if name not in ("name", "note")]
    return [name for name in compared if _value(name, draft.get(name)) != _value(name, origin.get(name))]


def _value(name: str, content: Any) -> Any:
    """Return the content of a field, equal for texts and choices that mean the same."""
    if isinstance(content, str):
        return [item for item in re.split(r"[\s,;]+", content) if item] if name in LISTS else content.strip()
    return sorted(map(str, content or ())) if name in CHOICES else list(content or ())

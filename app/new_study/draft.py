"""The content of the New study form, text and choices by field, converted to and from a validated study."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.study.recipe import Admm, Recipe
from engine.study.spec import Part, Study, StudyError, parse_study

# The form's content by field, text or a list of choices; nested names have a dot, as in `StudyError.fields`.
Draft = dict[str, Any]

# The combinations that a study trains are part of the draft, although no widget edits them.
PARTS = "parts"
# What the preset or figure had that filled in the form; missing or empty where it was filled in otherwise.
ORIGIN = "origin"
LISTS = ("learning_rates", "sparsities", "seeds", "overlap_p", "recipe.milestones")
CHOICES = ("datasets", "networks", "pruners", "starts")
FOLDER = "folder"
# The longest text of one field, enough for a thousand seeds.
TEXT_CHARACTERS = 20_000
_GROUPS: dict[str, type[BaseModel]] = {"recipe": Recipe, "admm": Admm}


def fields(model: type[BaseModel] = Study, prefix: str = "") -> list[str]:
    """Return the names of all fields of the form, with a dot in those of the recipe and of ADMM."""
    names: list[str] = []
    for name in model.model_fields:
        if name == PARTS:
            continue
        names += fields(_GROUPS[name], f"{name}.") if not prefix and name in _GROUPS else [prefix + name]
    return names


def _info(name: str) -> FieldInfo:
    group, _, key = name.rpartition(".")
    return _GROUPS.get(group, Study).model_fields[key]


def is_optional(name: str) -> bool:
    """Return whether a field may stay empty; the study is then made without it."""
    return _info(name).default is None


def is_whole(name: str) -> bool:
    """Return whether a field is a single whole number."""
    return _info(name).annotation in (int, int | None)


def description(name: str) -> str:
    """Return the description of a field."""
    return _info(name).description or ""


def costs(name: str) -> str:
    """Return what the values of a field cost in time, disk or trainings, "" where nothing is known."""
    extra = _info(name).json_schema_extra
    return str(extra.get("costs", "")) if isinstance(extra, dict) else ""


def draft_of(study: Study) -> Draft:
    """Return the form's content for a study."""
    draft: Draft = {}
    for name in fields():
        value: Any = study
        for part in name.split("."):
            value = getattr(value, part)
        if name in LISTS:
            draft[name] = ", ".join(_text(item) for item in value)
        elif name in CHOICES:
            draft[name] = list(value)
        else:
            draft[name] = _text(value)
    folders = [dataset for dataset in study.datasets if dataset.startswith("folder:")]
    draft["datasets"] = [dataset for dataset in study.datasets if dataset not in folders]
    draft[FOLDER] = folders[0].removeprefix("folder:") if folders else ""
    # The form has one line for a folder, so further folders stay among the choices.
    draft["datasets"] += folders[1:]
    draft[PARTS] = [part.model_dump(exclude_none=True) for part in study.parts]
    return draft


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    # The text must parse to the same number, or equal trainings would get different fingerprints: 80/150 becomes 8/15.
    near = Fraction(value).limit_denominator(1000)
    return str(near) if len(repr(value)) > 8 and float(near) == value else f"{value!r}".removesuffix(".0")


@dataclass(frozen=True)
class CheckedDraft:
    """The study that a draft describes, or its errors by field."""

    study: Study | None
    errors: Mapping[str, str]


def check(draft: Draft) -> CheckedDraft:
    """Return the study that a draft describes, or for every faulty field what is wrong and what is allowed."""
    empty = {name: f"is empty; give {description(name)}" for name in _required() if not _is_filled(draft, name)}
    long = {
        name: f"has {len(text):,} characters; allowed: {TEXT_CHARACTERS:,}"
        for name, text in draft.items()
        if isinstance(text, str) and len(text) > TEXT_CHARACTERS
    }
    if long:
        return CheckedDraft(None, long)
    try:
        study = parse_study(_values(draft))
    except StudyError as error:
        # For an empty field, this message is clearer than the validation's.
        return CheckedDraft(None, {**error.fields, **empty})
    return CheckedDraft(None, empty) if empty else CheckedDraft(study, {})


def _required() -> list[str]:
    # A study without pruners, sparsities and starts trains dense networks only.
    optional = ("note", "pruners", "sparsities", "starts")
    return [name for name in fields() if name not in optional and not is_optional(name)]


def _is_filled(draft: Draft, name: str) -> bool:
    if name == "datasets":
        return bool(draft[name] or draft[FOLDER].strip())
    value = draft[name]
    return bool(value.strip() if isinstance(value, str) else value)


def _values(draft: Draft) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in fields():
        content = draft[name]
        value: Any = content.strip() if isinstance(content, str) else content
        if name in LISTS:
            value = [_number(item) for item in re.split(r"[\s,;]+", value) if item]
        elif is_optional(name) and not value:
            continue
        elif name == "datasets":
            value = list(content)
            if folder := draft[FOLDER].strip():
                value.append(f"folder:{folder}")
        group, _, key = name.rpartition(".")
        (values.setdefault(group, {}) if group else values)[key] = value
    values[PARTS] = _narrowed(draft.get(PARTS, ()), values)
    return values


def _narrowed(parts: Sequence[Mapping[str, Sequence[Any]]], values: Mapping[str, Any]) -> list[dict[str, list[Any]]]:
    """Return parts without values that the form no longer lists, and without parts that lose all values of a field."""
    narrowed = []
    for part in parts:
        narrow = {name: [v for v in part[name] if _comparable(v) in map(_comparable, values[name])] for name in part}
        if all(narrow[name] or not part[name] for name in part):
            narrowed.append(narrow)
    return narrowed


def _comparable(value: Any) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def untrained(study: Study) -> dict[str, list[Any]]:
    """Return, by field, the values of a study that none of its parts trains."""
    return {
        name: missing
        for name in Part.model_fields
        if (missing := [v for v in getattr(study, name) if all(v not in getattr(p, name) for p in study.products)])
    }


def _number(item: str) -> str:
    """Return a fraction such as 80/150 as a decimal number, and anything else as it is."""
    fraction = re.fullmatch(r"(\d{1,15})/(\d{1,15})", item)
    return repr(int(fraction[1]) / int(fraction[2])) if fraction and int(fraction[2]) else item

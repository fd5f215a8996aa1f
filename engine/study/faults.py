"""What is wrong with a study, field by field, in words that say what is allowed."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from engine.errors import UserError
from engine.study.fields import nearest
from engine.study.recipe import Frozen

# The model of a study under "", and those of its tables by their names.
Tables = Mapping[str, type[Frozen]]

# An error quotes at most 200 characters of a faulty value, and names at most 50 faulty fields.
QUOTED, FAULTS_NAMED = 200, 50


class StudyError(UserError):
    """A study that cannot be run as written; `fields` maps each faulty field to what is wrong with it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        super().__init__("\n".join(f"{field}: {message}" if field else message for field, message in fields.items()))


def explain(error: ValidationError, tables: Tables) -> dict[str, str]:
    """Return for each faulty field what is wrong with it, what is allowed, and what to give."""
    fields: dict[str, str] = {}
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        names = [part for part in path if not part.isdigit()]
        field = ".".join(names)
        message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if item["type"] == "extra_forbidden":
            owner = _owner(names, tables)
            message = (
                f"is no key of a study; {nearest(path[-1], owner.model_fields)} here: {', '.join(owner.model_fields)}"
            )
        elif item["type"] == "missing":
            message = f"is missing; give {_describe(names, tables)}"
        elif item["type"] != "value_error":
            message = f"{_quoted(item['input'])} {message}; give {_describe(names, tables)}"
        # Keys come from outside too, so they are shortened as values are.
        fields.setdefault(field[:200], message)
    return dict(list(fields.items())[:FAULTS_NAMED])


def _quoted(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python does not convert integers of more than 4,300 digits to text.
        return "the number"
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


def _owner(names: list[str], tables: Tables) -> type[Frozen]:
    return tables.get(names[0], tables[""]) if len(names) > 1 else tables[""]


def _describe(names: list[str], tables: Tables) -> str:
    if not names:
        return "a study, as a table of its fields"
    info = _owner(names, tables).model_fields.get(names[-1]) or tables[""].model_fields.get(names[0])
    return (info.description if info else None) or "a table"

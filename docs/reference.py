"""Write reference.md from the models of a study and of the settings: python docs/reference.py."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from data.datasets.registry import DATASETS, FOLDER, HUB
from data.settings import ALLOWED, KEYS, Settings
from engine.registry import NETWORKS, PRUNERS, STARTS
from engine.study.recipe import Admm, Recipe
from engine.study.spec import Part, Study

TARGET = Path(__file__).with_name("reference.md")
OPENING = """\
# Reference

Every key of a study, every name that it may list, and every setting, with defaults and costs. `make reference` makes
this page from the code; edit the descriptions there.

## A study

A study is a TOML file (see [cli.md](cli.md#a-study-file)) or the form *New study*. A training is one network trained
from start to end; `ticketscope plan FILE` says how many a study takes, how many exist already, and how long the rest
takes.
"""
TABLES: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("The table `[recipe]`", Recipe, "How every training of the study runs."),
    ("The table `[admm]`", Admm, "Settings of the pruners that train with ADMM."),
    (
        "The tables `[[parts]]`",
        Part,
        "Each trains all combinations of its lists; a list that it leaves out is the study's.",
    ),
)
SETTINGS = """\
## Settings

A setting is an environment variable, or a key of a settings file; [settings.md](settings.md) says how they are read.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [OPENING, *_fields(Study, leave_out={"recipe", "admm", "parts"})]
    for title, model, sentence in TABLES:
        parts += [f"\n### {title}\n\n{sentence}\n", *_fields(model)]
    parts.append("\n## Names\n")
    families = {family.pattern: (family.title, family.about) for family in NETWORKS.families}
    parts += _names("networks", {**{name: (net.title, net.about) for name, net in NETWORKS.items()}, **families})
    parts += _names("pruners", {name: (entry.title, entry.about) for name, entry in PRUNERS.items()})
    parts += _names("starts", {name: (entry.title, entry.about) for name, entry in STARTS.items()})
    datasets = {name: (source.title, source.description) for name, source in DATASETS.items()}
    datasets[f"{FOLDER}<path>"] = ("a folder", "train/<class>/ and test/<class>/, or Tiny ImageNet as it is unpacked")
    datasets[f"{HUB}<name>"] = ("Hugging Face Hub", "a dataset of images there; needs the package `datasets`")
    parts += _names("datasets", datasets)
    parts += [SETTINGS, *_settings()]
    return "\n".join(parts) + "\n"


def _fields(model: type[BaseModel], leave_out: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines of a table of a model's keys."""
    schema = model.model_json_schema()
    definitions, properties = schema.get("$defs", {}), schema["properties"]
    yield "| key | type | default | what it is and allows | what it costs |\n|---|---|---|---|---|"
    for name, field in model.model_fields.items():
        if name not in leave_out:
            kind = _kind(properties[name], definitions)
            yield _row(f"`{name}`", kind, _default(field), _described(field), _costs(field))


def _settings() -> Iterator[str]:
    yield "| variable | key in a file | type | default | what it is | allowed | what it costs |"
    yield "|---|---|---|---|---|---|---|"
    keys = {variable: f"`{key}`" for key, variable in KEYS.items()}
    schema = Settings.model_json_schema(by_alias=False)
    definitions, properties = schema.get("$defs", {}), schema["properties"]
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias)
        kind = _kind(properties[name], definitions)
        key = keys.get(variable, "")
        yield _row(f"`{variable}`", key, kind, _default(field), _described(field), ALLOWED[variable], _costs(field))


def _names(kind: str, entries: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield f"| {kind} | | |\n|---|---|---|"
    for name, (title, about) in entries.items():
        yield _row(f"`{name}`", title, about)
    yield ""


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the type of a JSON schema in words, with its limits: 'list of numbers, each above 0, at most 10'."""
    if "$ref" in schema:
        return _kind(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        kinds = [_kind(option, definitions) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        each = _kind(schema.get("items", {}), definitions)
        word, _, limits = each.partition(", ")
        return f"list of {word}s" + (f", each {limits}" if limits else "")
    word = {"integer": "whole number", "number": "number", "string": "text"}.get(str(schema.get("type")), "table")
    return ", ".join([word, *_limits(schema)])


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    for key, words in (
        ("minimum", "at least {:,}"),
        ("exclusiveMinimum", "above {:,}"),
        ("maximum", "at most {:,}"),
        ("exclusiveMaximum", "below {:,}"),
    ):
        if key in schema:
            yield words.format(schema[key])


def _default(field: FieldInfo) -> str:
    if "default" in _extra(field):
        return str(_extra(field)["default"])
    if field.default_factory is not None:
        return "computed"
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", ()):
        return "left out"
    if isinstance(field.default, tuple):
        return ", ".join(f"`{_short(value)}`" for value in field.default)
    return f"`{_short(field.default)}`"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _described(field: FieldInfo) -> str:
    return field.description or ""


def _costs(field: FieldInfo) -> str:
    return str(_extra(field).get("costs", ""))


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _row(*cells: str) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    """Return text for a cell; outside code, Markdown would take <path> for HTML."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "\\<") for number, part in enumerate(parts))


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")

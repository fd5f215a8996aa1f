"""The reference of studies and settings is made from their models, and complete."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest
from pydantic import BaseModel

from data.settings import ALLOWED, Settings
from engine.study.recipe import Admm, Recipe
from engine.study.spec import Part, Study
from tests.documents.blocks import ROOT


def reference() -> ModuleType:
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_models_say() -> None:
    module = reference()
    assert module.TARGET.read_text(encoding="utf-8") == module.page(), "run: make reference"


def test_every_setting_and_every_key_of_a_study_has_a_row() -> None:
    variables = {field.validation_alias for field in Settings.model_fields.values()}
    assert variables == set(ALLOWED)
    rows = re.findall(r"^\| `(\w+)` \|", reference().page(), re.MULTILINE)
    tables = {"recipe", "admm", "parts"}
    assert variables | (Study.model_fields.keys() - tables) <= set(rows)
    for model in (Recipe, Admm, Part):
        assert model.model_fields.keys() <= set(rows)


@pytest.mark.parametrize("model", [Study, Part, Recipe, Admm, Settings], ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description or name in ("recipe", "admm"), f"{model.__name__}.{name} has no description"


def test_types_are_told_with_their_limits() -> None:
    kind = reference()._kind
    assert kind({"type": "integer", "minimum": 1, "maximum": 10_000}, {}) == "whole number, at least 1, at most 10,000"
    assert kind({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, {}) == "number, above 0"
    assert kind({"type": "array", "items": {"$ref": "#/$defs/Rate"}}, {"Rate": {"type": "number"}}) == "list of numbers"
    assert kind({"enum": ["a", "b"], "type": "string"}, {}) == "`a`, `b`"

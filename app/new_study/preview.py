"""What a study would take, before it is launched."""

from dataclasses import dataclass

import streamlit as st

from app.new_study.draft import FOLDER, Draft, check
from data.artifacts.store import ArtifactError
from data.datasets.registry import DatasetError, identity
from data.settings import settings
from engine.study.checks import Finding
from engine.study.spec import Study, StudyError, read_study, to_toml
from tasks.studies import planning
from tasks.studies.planning import DesignRefused


@dataclass(frozen=True)
class Outlook:
    """What a study would take, for a page.

    by_kind counts trainings by kind of stage, seconds is for what is not reused. rounds: what each round of iterative
    pruning removes, in words. warnings: what to know before launching it.
    """

    trainings: int
    reused: int
    by_kind: dict[str, int]
    seconds: float
    workers: int
    rounds: tuple[str, ...]
    warnings: tuple[Finding, ...]


@st.cache_data(ttl=3, max_entries=16, show_spinner=False)
def outlook(toml: str) -> Outlook:
    """Return what a study would take now; raises DatasetError, StudyError and ArtifactError."""
    found = planning.preview(read_study(toml))
    return Outlook(
        found.trainings,
        found.reused,
        found.by_kind,
        found.estimated_seconds,
        found.workers,
        found.plan.rounds,
        found.warnings,
    )


@dataclass(frozen=True)
class Examined:
    """A form's study and what it would take, or what is wrong by field; warnings: what to know beside either."""

    study: Study | None
    outlook: Outlook | None
    errors: dict[str, str]
    warnings: tuple[Finding, ...] = ()


def examine(draft: Draft) -> Examined:
    """Return what a form's study would take, or what is wrong with it, datasets and design included."""
    checked = check(draft)
    errors = {**_dataset_errors(draft), **checked.errors}
    study = checked.study
    if study is None or errors:
        return Examined(study, None, errors)
    try:
        found = outlook(to_toml(study))
        return Examined(study, found, {}, found.warnings)
    except DesignRefused as error:
        return Examined(study, None, error.fields, error.warnings)
    except StudyError as error:
        return Examined(study, None, error.fields)
    except DatasetError as error:
        return Examined(study, None, {"datasets": str(error)})
    except ArtifactError as error:
        return Examined(study, None, {"": str(error)})


def _dataset_errors(draft: Draft) -> dict[str, str]:
    named = dict.fromkeys(draft["datasets"], "datasets")
    if folder := draft[FOLDER].strip():
        named[f"folder:{folder}"] = FOLDER
    errors: dict[str, str] = {}
    for name, field in named.items():
        try:
            identity(name, settings().home)
        except DatasetError as error:
            errors[field] = str(error)
    return errors

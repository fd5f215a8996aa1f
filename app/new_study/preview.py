"""The plan of a study before it is launched: its trainings, how long they take, and what is wrong with it."""

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
class PlanPreview:
    """The plan of a study, for a page.

    by_kind counts trainings by kind of stage; seconds are those of trainings that are not reused. rounds: what each
    round of iterative pruning removes, in words. warnings: findings to read before launching it.
    """

    trainings: int
    reused: int
    by_kind: dict[str, int]
    seconds: float
    workers: int
    rounds: tuple[str, ...]
    warnings: tuple[Finding, ...]


@st.cache_data(ttl=3, max_entries=16, show_spinner=False)
def preview_plan(toml: str) -> PlanPreview:
    """Return the plan of a study as it would be now; raises DatasetError, StudyError and ArtifactError."""
    plan = planning.preview(read_study(toml))
    return PlanPreview(
        plan.trainings,
        plan.reused,
        plan.by_kind,
        plan.estimated_seconds,
        plan.workers,
        plan.plan.rounds,
        plan.warnings,
    )


@dataclass(frozen=True)
class CheckedForm:
    """A form's study and its plan, or its errors by field; warnings: findings beside either."""

    study: Study | None
    plan: PlanPreview | None
    errors: dict[str, str]
    warnings: tuple[Finding, ...] = ()


def check_form(draft: Draft) -> CheckedForm:
    """Return the plan of a form's study, or its errors, those of datasets and of the design included."""
    checked = check(draft)
    errors = {**_dataset_errors(draft), **checked.errors}
    study = checked.study
    if study is None or errors:
        return CheckedForm(study, None, errors)
    try:
        plan = preview_plan(to_toml(study))
        return CheckedForm(study, plan, {}, plan.warnings)
    except DesignRefused as error:
        return CheckedForm(study, None, error.fields, error.warnings)
    except StudyError as error:
        return CheckedForm(study, None, error.fields)
    except DatasetError as error:
        return CheckedForm(study, None, {"datasets": str(error)})
    except ArtifactError as error:
        return CheckedForm(study, None, {"": str(error)})


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

"""Checking the form's study and planning it, before it is launched."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.new_study.draft import FOLDER, Draft, check
from app.new_study.offers import Offer, offer
from app.state.cache import cached
from data.artifacts.store import ArtifactError
from data.datasets.check import checked_identity
from data.datasets.registry import DatasetError
from data.settings import settings
from engine.study.checks import Finding
from engine.study.spec import Study, StudyError, read_study, to_toml
from tasks.studies import planning
from tasks.studies.planning import DesignRefused, PlanPreview


@cached(ttl=3.0, max_entries=16, shared=True)
def preview_plan(toml: str) -> PlanPreview:
    """Return what launching a study now would cost; raises DatasetError, StudyError and ArtifactError."""
    return planning.preview(read_study(toml))


@dataclass(frozen=True)
class CheckedForm:
    """A form's study and its plan, or its errors by field; either may have warnings.

    offers: what the text of a faulty field probably means.
    """

    study: Study | None
    plan: PlanPreview | None
    errors: dict[str, str]
    warnings: tuple[Finding, ...] = ()
    offers: Mapping[str, Offer] = field(default_factory=dict)


def check_form(draft: Draft) -> CheckedForm:
    """Return the form's study with its plan, or the errors of its fields, datasets and design."""
    checked = _checked(draft)
    offers = {name: found for name in checked.errors if (found := offer(draft, name))}
    questions = {name: found.question for name, found in offers.items()}
    return replace(checked, errors={**checked.errors, **questions}, offers=offers)


def _checked(draft: Draft) -> CheckedForm:
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
    for name, place in named.items():
        try:
            checked_identity(name, settings().home)
        except DatasetError as error:
            errors[place] = str(error)
    return errors

"""How studies' trainings differ in what no point of a chart tells: the recipe, the images and how masks are made."""

from collections.abc import Mapping

from engine.registry import PRUNERS
from engine.study.spec import Study

# The values of a setting by the name that it has here; None where a study makes no use of it.
Settings = dict[str, str | None]


def differing(studies: Mapping[str, Study]) -> dict[str, str]:
    """Return by study id what sets its trainings apart from those of the others, such as "T 100, weight decay 0.01".

    Named are only the settings in which some of the studies that make use of them differ: "" for all where none does.
    """
    any_k = any(study.recipe.rewind_epoch is not None for study in studies.values())
    told = {study_id: _settings(study, any_k) for study_id, study in studies.items()}
    names = [name for name in next(iter(told.values()), {}) if len(_values(told, name)) > 1]
    return {
        study_id: ", ".join(value for name in names if (value := settings[name]) is not None)
        for study_id, settings in told.items()
    }


def _values(told: Mapping[str, Settings], name: str) -> set[str]:
    return {value for settings in told.values() if (value := settings[name]) is not None}


def _settings(study: Study, tell_k: bool) -> Settings:
    """Return each setting in words; tell_k: some study chose its k, which otherwise follows from T."""
    recipe, admm = study.recipe, study.admm
    kinds = {PRUNERS[name].constant_rho for name in study.pruners if PRUNERS[name].admm}
    return {
        "epochs": f"T {recipe.epochs}",
        "weight_decay": f"weight decay {recipe.weight_decay:g}",
        "batch_size": f"batch {recipe.batch_size}",
        "momentum": f"momentum {recipe.momentum:g}",
        "milestones": f"rate drops after {' and '.join(f'{at:.3g}' for at in recipe.milestones) or 'no part'} of T",
        "decay": f"rate drops by a factor of {recipe.decay:g}",
        "augmentation": f"augmentation {recipe.augmentation.replace('_', ' and ')}",
        "precision": recipe.precision,
        "rewind": f"k {recipe.k}" if tell_k else None,
        "train": f"{study.train_images:,} training images" if study.train_images else "all training images",
        "test": f"{study.test_images:,} test images" if study.test_images else "all test images",
        "scope": f"pruned by {study.scope}" if study.pruners else None,
        "rho": f"constant ADMM ρ {_rho(admm.rho)}" if True in kinds else None,
        "rho_start": f"ADMM ρ from {_rho(admm.rho_start)}" if False in kinds else None,
        "rho_end": f"ADMM ρ up to {_rho(admm.rho_end)}" if False in kinds else None,
        "rounds": f"ADMM {admm.rounds} rounds of {admm.period} epochs" if kinds else None,
    }


def _rho(value: float | None) -> str:
    return "automatic" if value is None else f"{value:g}"

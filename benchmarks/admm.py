"""How far does ADMM move the mask from one-shot's, by its first rho? python -m benchmarks.admm --data DATASET."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import options, results_io
from data.datasets.loading import load
from data.datasets.registry import shape
from data.settings import Settings, settings
from engine.study.plan import Plan, Stage
from engine.study.results import StageResult
from engine.study.spec import Study, parse_study
from engine.training.admm import automatic_rho
from tasks.studies.planning import plan_study
from tasks.worker.local import run

CONSTANT = "constant"


def studies(base: dict[str, Any], fractions: Sequence[float], train_images: int) -> dict[str, Study]:
    """Return a study for each schedule of rho, by its name: constant, or from a fraction of that value up to it.

    base: a study of one learning rate, without pruners. train_images: the images of an epoch.
    """
    constant = parse_study({**base, "pruners": ["admm_constant"]})
    recipe, admm = constant.recipe, constant.admm
    steps = admm.period * -(-train_images // recipe.batch_size)
    end = automatic_rho(constant.learning_rates[0], recipe.momentum, steps)
    growing = {
        f"from {fraction:g}": parse_study(
            {
                **base,
                "pruners": ["admm"],
                "admm": {**admm.model_dump(exclude_none=True), "rho_start": fraction * end, "rho_end": end},
            }
        )
        for fraction in fractions
    }
    return {CONSTANT: constant, **growing}


def planned(study: Study, home: Path, finetune: bool) -> Plan:
    """Return a study's plan; without fine-tuning, of its pretrainings and ADMM alone."""
    plan = plan_study(study, home)
    stages = {key: stage for key, stage in plan.stages.items() if finetune or stage.kind != "retrain"}
    return Plan(plan.study, stages, plan.roles)


def measured(plans: dict[str, Plan], results: dict[str, StageResult]) -> list[dict[str, Any]]:
    """Return a row for each stage of ADMM: accuracies in percent, moved as a fraction of the remaining weights."""
    rows = []
    for schedule, plan in plans.items():
        for fingerprint, stage in plan.stages.items():
            result = results[fingerprint]
            if stage.kind != "admm" or result.support is None:
                continue
            finetuned = [results[child] for child in plan.children[fingerprint]]
            rows.append(
                {
                    "sparsity": stage.sparsity,
                    "seed": stage.seed,
                    "way": schedule,
                    "kept": result.support.kept,
                    "moved": result.support.fraction,
                    "residuals": list(result.residuals),
                    "dense_accuracy": results[_root(stage)].final.test_accuracy,
                    "unpruned_accuracy": result.final.test_accuracy,
                    "accuracy": result.support.accuracy,
                    "oneshot_accuracy": result.support.oneshot_accuracy,
                    "finetuned_accuracy": finetuned[0].final.test_accuracy if finetuned else None,
                    "seconds": result.seconds,
                }
            )
    return sorted(rows, key=lambda row: (row["sparsity"], row["seed"]))


def _root(stage: Stage) -> str:
    assert stage.root is not None
    return stage.root


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a line for each sparsity, seed and schedule of rho."""
    return results_io.table(
        "accuracies in percent, right after the smaller weights became 0",
        (
            {
                "sparsity": f"{row['sparsity']:g}",
                "seed": row["seed"],
                "rho": row["way"],
                "moved %": f"{100 * row['moved']:.3f}",
                "last residual": f"{row['residuals'][-1]:.4f}",
                "ADMM": f"{row['accuracy']:.2f}",
                "one-shot": f"{row['oneshot_accuracy']:.2f}",
                "fine-tuned": "" if row["finetuned_accuracy"] is None else f"{row['finetuned_accuracy']:.2f}",
                "dense": f"{row['dense_accuracy']:.2f}",
            }
            for row in rows
        ),
        left=("rho",),
    )


def main() -> None:
    """Measure what the command line names, show it, and write it to the file of --json."""
    arguments = _arguments()
    device = options.device(arguments)
    config = settings()
    begin = time.perf_counter()
    base = {
        "name": "how far ADMM moves the mask",
        "datasets": [arguments.data],
        "networks": [arguments.network],
        "learning_rates": [arguments.rate],
        "sparsities": arguments.sparsities,
        "starts": ["finetune"],
        "seeds": arguments.seeds,
        "train_images": arguments.train_images,
        "test_images": arguments.test_images,
        "recipe": {
            "epochs": arguments.epochs,
            "batch_size": arguments.batch_size,
            "precision": arguments.precision,
            "augmentation": arguments.augmentation,
            "weight_decay": arguments.weight_decay,
        },
        "admm": {"rounds": arguments.rounds, "period": arguments.period},
    }
    load(arguments.data, config.home)
    images = arguments.train_images or shape(arguments.data, config.home).train
    schedules = studies(base, arguments.fractions, images)
    plans = {name: planned(study, config.home, arguments.finetune) for name, study in schedules.items()}
    with tempfile.TemporaryDirectory() as folder:
        results = _run(plans, str(arguments.artifacts or folder), config, [str(device)] * arguments.processes)
    rows = measured(plans, results)
    results_io.show(table(rows))
    figures = {
        "seconds": round(time.perf_counter() - begin),
        "data": arguments.data.partition(":")[0],
        "network": arguments.network,
        "learning_rate": arguments.rate,
        "recipe": base["recipe"],
        "admm": base["admm"],
        "train_images": images,
        "test_images": arguments.test_images,
        "processes": arguments.processes,
        "measured": rows,
    }
    results_io.write("admm", arguments, figures, device)


def _run(plans: dict[str, Plan], artifacts: str, config: Settings, devices: Sequence[str]) -> dict[str, StageResult]:
    """Train the stages of all plans as one plan, so that no process is idle at the end of each."""
    first = next(iter(plans.values()))
    stages = {key: stage for plan in plans.values() for key, stage in plan.stages.items()}
    reported: dict[str, int] = {}
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("training", total=sum(stage.epochs for stage in stages.values()))

        def report(fingerprint: str, epoch: int) -> None:
            bars.advance(bar, epoch - reported.get(fingerprint, 0))
            reported[fingerprint] = epoch

        return run(Plan(first.study, stages, first.roles), artifacts, config, devices, report)


def _arguments() -> argparse.Namespace:
    parser = options.parser("admm", __doc__)
    options.add_device(parser)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--data", required=True, help="a dataset as in a study, such as folder:DIR")
    parser.add_argument("--train-images", type=int, help="number, the same for every class; left out, all")
    parser.add_argument("--test-images", type=int)
    parser.add_argument("--precision", choices=options.PRECISIONS, default="fp32")
    parser.add_argument("--rate", type=float, default=0.1, help="initial learning rate")
    parser.add_argument("--epochs", type=int, default=50, help="of pretraining and of fine-tuning")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10, help="of ADMM")
    parser.add_argument("--period", type=int, default=3, help="epochs of ADMM per round")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.39, 0.62, 0.80])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=[0.1, 0.01, 0.001], help="first rho as fractions of the last"
    )
    parser.add_argument("--finetune", action="store_true", help="fine-tune under each mask too")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--augmentation", default="crop_flip", help="as in a study")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--artifacts", type=Path, help="a folder for weights and results, to continue from")
    return parser.parse_args()


if __name__ == "__main__":
    main()

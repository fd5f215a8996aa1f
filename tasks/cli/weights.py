"""The command that writes weights for other programs: weights."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from data.settings import settings
from engine.errors import UserError
from engine.formatting import number, percent
from tasks.cli.console import StudyId, err, out, recorded
from tasks.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.weights.files import Measured

commands = typer.Typer()

# The most trainings that a list shows.
MOST_LISTED = 200


class Which(StrEnum):
    """Which weights of a training; see `data.weights.saved.WHICH`."""

    trained = "trained"
    initial = "initial"
    rewind = "rewind"


class NotOne(UserError):
    """Several trainings fit where one is needed."""


@commands.command()
def weights(
    study_id: StudyId,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the files; without it, the trainings are listed.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Such as winning_ticket; dense for the unpruned network.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Fraction of weights removed, such as 0.858.")] = None,
    seed: Annotated[int | None, typer.Option(help="The repetition.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The initial learning rate.")] = None,
    pruner: Annotated[str | None, typer.Option(help="Such as iterative.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The name in the study.")] = None,
    network: Annotated[str | None, typer.Option(help="The name in the study.")] = None,
    which: Annotated[Which, typer.Option(help="After the training, before it, or of epoch k.")] = Which.trained,
    everything: Annotated[
        bool, typer.Option("--all", help="Write all trainings that fit, each into a folder of its own.")
    ] = False,
) -> None:
    """Write weights and mask of a training as safetensors, with its settings and a loader that needs only PyTorch."""
    from data.artifacts.store import Artifacts
    from data.queries import studies
    from data.weights import files

    chosen = {"start": start, "sparsity": sparsity, "seed": seed, "learning_rate": learning_rate}
    chosen |= {"pruner": pruner, "dataset": dataset, "network": network}
    with recorded() as database:
        full_id = studies.find_study(database, study_id)
        found = files.trainings(database, full_id, **chosen)
        if which is Which.rewind:
            # Only pretrainings have these; the one that was chosen may be none, which is an error that says so.
            found = [one for one in found if one.training.stage.kind == "pretrain"] or found[:1]
        if out_folder is None:
            out.print(_table(found))
            return
        if len(found) > 1 and not everything:
            out.print(_table(found))
            raise NotOne(
                f"{plural(len(found), 'training')} fit; choose one by --start, --sparsity, --seed, --learning-rate, "
                "--pruner, --dataset or --network, or give --all to write them all"
            )
        artifacts, home = Artifacts(settings().artifacts), settings().home
        folders = [out_folder / name for name in files.folder_names(found)] if everything else [out_folder]
        for measured, folder in zip(found, folders, strict=True):
            files.write(database, artifacts, full_id, measured, which.value, folder, home)
            out.print(f"wrote {escape(str(folder))}: {escape(str(measured.training))}", soft_wrap=True, highlight=False)


def _table(found: "Sequence[Measured]") -> Table:
    table = Table(
        "start", "pruner", Column("sparsity", justify="right"), "lr", "seed", "network", "dataset", "test accuracy"
    )
    for measured in found[:MOST_LISTED]:
        training = measured.training
        table.add_row(
            training.start,
            training.pruner or "",
            percent(training.sparsity) if training.pruner else "",
            number(training.learning_rate),
            str(training.seed),
            training.network,
            escape(training.dataset),
            f"{measured.test_accuracy:.2f} %",
        )
    if len(found) > MOST_LISTED:
        err.print(f"the first {MOST_LISTED} of {len(found):,} trainings; narrow them by --start and the like")
    return table

"""Write notebook.ipynb, executed over the demo that real workers train: python -m docs.notebook, some minutes."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from data.database.database import Database
from docs.images.pictures import DEMO, UP, wait
from tests.browser.serving import ROOT, served

TARGET = Path(__file__).with_name("notebook.ipynb")
# Seconds that one cell may take.
LONGEST = 300
MARKDOWN, CODE = "markdown", "code"

# The cells of the notebook: their kind and their text.
CELLS: tuple[tuple[str, str], ...] = (
    (
        MARKDOWN,
        "# Ticketscope in a notebook\n\n"
        "This notebook reads the demo study, which a new installation trains by itself. "
        "[notebooks.md](notebooks.md) describes every call. `make notebook` makes and executes this file.",
    ),
    (
        CODE,
        'import ticketscope as ts\n\nts.studies()[["name", "state", "stages", "done"]]',
    ),
    (
        MARKDOWN,
        "## Numbers\n\nA study is read by its name, its id, or the beginning of either. Its tables are those that "
        "`ticketscope export` writes.",
    ),
    (CODE, 'demo = ts.study("demo")\nprint(demo.progress())'),
    (
        CODE,
        "accuracy = demo.accuracy()\n"
        'means = accuracy.groupby(["learning_rate", "sparsity", "start"])["test_accuracy"].mean()\n'
        'means.unstack("start").round(1)',
    ),
    (
        MARKDOWN,
        "Does the dense network still resemble its initial weights? This is R_p, pooled over layers; independent "
        "weights would have p.",
    ),
    (
        CODE,
        "overlap = demo.overlap().query(\"pair == 'initial_pretrained'\")\n"
        'pooled = overlap.groupby(["learning_rate", "p"])[["intersection", "top"]].sum()\n'
        '(pooled["intersection"] / pooled["top"]).unstack("learning_rate").round(2)',
    ),
    (MARKDOWN, "## Charts\n\nA chart is drawn as on the study's page; its numbers are a frame."),
    (CODE, 'demo.chart("accuracy", learning_rate=0.1, pruner="iterative")'),
    (CODE, 'demo.chart("retention").numbers().head()'),
    (MARKDOWN, "## Verdicts"),
    (
        CODE,
        "claims = demo.claims()\n"
        'claims[claims["effect"].notna()][["id", "scope", "verdict", "effect", "low", "high", "n"]].head(8).round(2)',
    ),
    (
        MARKDOWN,
        "## Weights\n\nWeights and mask of one training: a `state_dict` of PyTorch, and booleans by layer.",
    ),
    (
        CODE,
        "state, mask = demo.weights(\n"
        '    start="winning_ticket", sparsity=0.9, seed=0, learning_rate=0.1, pruner="iterative"\n'
        ")\n"
        "{layer: round(1 - kept.float().mean().item(), 3) for layer, kept in mask.items()}",
    ),
    (
        CODE,
        "import torch.nn.utils.prune as prune\nfrom torch import nn\n\n"
        'layer = nn.Linear(*reversed(state["fc1.weight"].shape))\n'
        'prune.custom_from_mask(layer, "weight", mask["fc1.weight"])\n'
        "int(layer.weight_mask.sum())",
    ),
    (
        MARKDOWN,
        "## Train\n\n`ts.launch` queues a study for the workers; `ts.run` trains it in this process, with a bar. A "
        "study is made from keyword arguments or TOML.",
    ),
    (
        CODE,
        "dense = ts.run(\n"
        "    ts.Study(\n"
        '        name="Dense, three rates",\n'
        '        datasets=["digits"],\n'
        '        networks=["lenet300"],\n'
        "        learning_rates=[0.01, 0.1, 0.5],\n"
        "        pruners=[],\n"
        "        sparsities=[],\n"
        "        starts=[],\n"
        "        seeds=[0, 1],\n"
        "        train_images=200,\n"
        '        recipe=ts.Recipe(epochs=20, batch_size=32, augmentation="none"),\n'
        "    ),\n"
        '    out="dense",\n'
        ")\n"
        "dense",
    ),
    (CODE, 'dense.chart("retention")'),
    (
        MARKDOWN,
        "## By link\n\nWhat a colleague shared needs no installation of Ticketscope, only pandas:\n\n"
        "```python\nimport pandas as pd\n\n"
        'pd.read_parquet("https://tickets.example/data/accuracy.parquet?share=...")\n```\n\n'
        "With Ticketscope, charts too:\n\n"
        '```python\nts.open("https://tickets.example/shared?share=...").chart("accuracy")\n```',
    ),
)


def notebook() -> nbformat.NotebookNode:
    """Return the notebook, without outputs."""
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    cells = {MARKDOWN: nbformat.v4.new_markdown_cell, CODE: nbformat.v4.new_code_cell}
    # Ids are drawn at random otherwise, so that each run would change them.
    made.cells = [cells[kind](text, id=f"cell-{number}") for number, (kind, text) in enumerate(CELLS)]
    return made


def executed(home: Path, folder: Path) -> nbformat.NotebookNode:
    """Return the notebook with its outputs; home: of the installation that it reads. folder: where it writes."""
    os.environ |= {"TICKETSCOPE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    made = notebook()
    NotebookClient(
        made, timeout=LONGEST, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in made.cells:
        # Times differ from run to run.
        cell.metadata.pop("execution", None)
    return made


def main() -> None:
    """Train the demo in an empty home, and write the notebook."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve() / "home"
        with served(*UP, home=home):
            wait(Database(home / "ticketscope.duckdb"), DEMO)
            made = executed(home, Path(folder))
    nbformat.write(made, TARGET)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

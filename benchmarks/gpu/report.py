"""The results of a run as a report to read, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import goals

Values = Mapping[str, Any]


def text(values: Values) -> str:
    """Return the report of all results so far, in which nothing stands that was not measured."""
    parts = (_head, _goals, _speeds, _kernels, _tests, _figure, _verdicts, _missing)
    sections = ("\n".join(part(values)) for part in parts)
    return "\n\n".join(filter(None, sections)) + "\n"


def _head(values: Values) -> Iterator[str]:
    sentences = ["# A run of `python -m benchmarks.gpu`", *_about(values)]
    yield "\n\n".join(sentences)


def _about(values: Values) -> Iterator[str]:
    setup, settings, images = values.get("setup"), values.get("settings") or {}, values.get("images")
    if setup:
        versions = f"PyTorch {setup['torch']}, Python {setup['python']}"
        yield f"{setup['date']}: {setup['device']}, {setup['cores']} cores ({setup['cpu']}), {versions}."
        if setup["kind"] != "cuda":
            yield "This is a CPU: the run shows that the command works, and none of its numbers is one of a GPU."
    if images:
        counts = f"{images['train']:,} to train on and {images['test']:,} to test on"
        yield f"Images: {settings.get('data', '')}, {counts}, {images['size']} x {images['size']}."
    if settings.get("train_images"):
        few = f"{settings['train_images']:,} images and tests on {settings['test_images'] or 'all'}"
        yield f"Scaled down: every measurement trains on {few}; the figure trains {settings['epochs']} epochs of 150."
    for run in values.get("runs") or []:
        end = "" if run["ended"] else ", and was cut off or still runs"
        yield f"Ran for {run['seconds']:.0f} s of {run['minutes']:g} minutes{end}."


def _goals(values: Values) -> Iterator[str]:
    yield "## Goals (H200, batches of 128)"
    yield ""
    # Numbers of a CPU beside goals for a GPU would mean nothing.
    measured = goals.measured(values) if (values.get("setup") or {}).get("kind") == "cuda" else {}
    yield from goals.table(measured, "")


def _speeds(values: Values) -> Iterator[str]:
    train = (values.get("settings") or {}).get("train_images") or (values.get("images") or {}).get("train")
    cases = list(_cases(values, "engine"))
    if not cases or not train:
        return
    plain = {
        case["network"]: case["seconds_per_epoch"]["median"]
        for case in _cases(values, "plain")
        if not case.get("provisional")
    }
    rows = [row for case in _cases(values, "floor") for row in case["floors"]]
    floors = {(row["network"], row["precision"]): row["seconds"] for row in rows}
    yield f"## Seconds per network and epoch of {train:,} training images, evaluation included"
    yield ""
    columns = (
        "network",
        "in",
        "side by side",
        "seconds, median (least-most)",
        "plain loop",
        "ratio",
        "times the floor",
    )
    yield _row([*columns, "first epoch", "GPU memory"])
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for case in sorted(cases, key=lambda case: (case["network"], case["precision"], case["together"])):
        seconds, network = case["seconds_per_epoch"], case["network"]
        least = floors.get((network, case["precision"]))
        memory = case.get("memory_mib")
        cells = [
            network,
            case["precision"],
            f"{case['together']}",
            f"{seconds['median']:.3f} ({seconds['least']:.3f}-{seconds['most']:.3f})",
            f"{plain[network]:.2f}" if network in plain else "",
            f"{plain[network] / seconds['median']:.1f}" if network in plain else "",
            f"{seconds['median'] * goals.TRAIN / train / least:.1f}" if least else "",
            f"{case['first_epoch_seconds']:.1f} s",
            f"{memory:,.0f} MiB" if memory else "",
        ]
        yield _row(cells)


def _kernels(values: Values) -> Iterator[str]:
    cases = [case for case in _cases(values, "kernels") if case.get("kernels")]
    if not cases:
        return
    gpu = (values.get("setup") or {}).get("kind") == "cuda"
    yield "## Kernels of a step" if gpu else "## Operators of a step (a CPU has no kernels)"
    yield ""
    yield "| network | in | side by side | kernels | copies | ms | of these busy | idle % | gap, µs | longest, ms |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|---|"
    for case in sorted(cases, key=lambda case: (case["network"], case["precision"], case["together"])):
        name, longest = next(iter(case["longest"].items()))
        cells = [
            *(case["network"], case["precision"], f"{case['together']}"),
            *(f"{case['kernels']:.0f}", f"{case['copies']:.0f}"),
            *(f"{case['milliseconds']:.2f}", f"{case['busy_milliseconds']:.2f}"),
            *(f"{100 * case['idle_share']:.0f}", f"{case['gap_microseconds']:.1f}", f"{longest:.2f} {name}"),
        ]
        yield _row(cells)


def _tests(values: Values) -> Iterator[str]:
    tests = values.get("tests")
    if not tests:
        return
    yield "## Tests marked gpu"
    yield ""
    counts = ", ".join(f"{tests[name]} {name}" for name in ("passed", "failed", "error", "skipped") if tests.get(name))
    reasons = f" ({'; '.join(tests['reasons'])})" if tests.get("reasons") else ""
    yield f"{counts or 'none ran'}{reasons}{'; ' + tests['why'] if tests.get('why') else ''}."
    yield from (f"- {name}" for name in tests.get("failing", []))


def _figure(values: Values) -> Iterator[str]:
    figure = values.get("figure")
    if not figure:
        return
    yield "## Main figure 2"
    yield ""
    design = figure["design"]
    sparsities = ", ".join(f"{sparsity:.1%}" for sparsity in design["sparsities"])
    rounds = "in the paper's rounds of 15 %" if design["round_rate"] else "a round for each (the figure has twelve)"
    images = "CIFAR's shape" if _is_cifar(values) else "images that are not CIFAR-10"
    yield (
        f"ResNet-20 on {images}, {figure['epochs']} epochs, {figure['precision']}, rates 0.01 and 0.1, starts winning "
        f"ticket, reinit and fine-tune, sparsities {sparsities}, {rounds}; {figure.get('done', 0)} of "
        f"{figure.get('of', 0)} trainings of {figure.get('seeds', design['seeds'])} seeds are done."
    )
    rows = (values.get("end") or {}).get("accuracies", [])
    if not rows:
        return
    # The paper's numbers are of all images and 150 epochs.
    comparable = _is_cifar(values) and not (values.get("settings") or {}).get("train_images")
    yield ""
    yield "| learning rate | sparsity | start | test accuracy %, mean | sd | n | the paper's text |"
    yield "|--:|--:|---|--:|--:|--:|--:|"
    for row in rows:
        spread = "" if row["deviation"] is None else f"{row['deviation']:.2f}"
        point = [f"{row['learning_rate']:g}", f"{row['sparsity']:.1%}", row["start"]]
        stated = f"{row['paper']:.2f}" if comparable and row["paper"] is not None else ""
        yield _row([*point, f"{row['mean']:.2f}", spread, f"{row['n']}", stated])


def _is_cifar(values: Values) -> bool:
    images = values.get("images") or {}
    return [images.get(name) for name in ("train", "test", "size", "classes")] == [50_000, 10_000, 32, 10]


def _verdicts(values: Values) -> Iterator[str]:
    end = values.get("end") or {}
    if "verdicts" in end:
        yield "## Verdicts"
        yield ""
        yield "| claim | about | verdict | effect (interval) | n | why |"
        yield "|---|---|---|--:|--:|---|"
        for row in end["verdicts"]:
            about = ", ".join(str(value) for name, value in row["scope"].items() if name != "dataset")
            effect = "" if row["effect"] is None else f"{row['effect']:.3g} {row['unit']}"
            bounds = "" if row["low"] is None else f" ({row['low']:.3g} to {row['high']:.3g})"
            yield _row([row["claim"], about, row["verdict"], effect + bounds, f"{row['n']}", row["reason"]])
    files = [end["bundle"]["file"]] if "bundle" in end else []
    for name in [*files, *end.get("pictures", [])]:
        yield f"- wrote `{name}`"


def _missing(values: Values) -> Iterator[str]:
    cases = values.get("cases") or {}
    failed: dict[str, list[str]] = {}
    for key, case in cases.items():
        if case.get("failed"):
            failed.setdefault(case["failed"], []).append(key)
    lines = [f"{why}: {', '.join(keys)}" for why, keys in failed.items()]
    lines += (values.get("end") or {}).get("without", [])
    if values.get("figure", {}).get("why"):
        lines.append(f"main figure 2: {values['figure']['why']}")
    lines += values.get("without", [])
    if lines:
        yield "## Not measured, or done without"
        yield ""
        yield from (f"- {line}" for line in lines)


def _cases(values: Values, kind: str) -> Iterator[dict[str, Any]]:
    for case in (values.get("cases") or {}).values():
        if case["kind"] == kind and not case.get("failed"):
            yield case


def _row(cells: Sequence[str]) -> str:
    # A line of a table must have no other bar and no end of a line in it.
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"

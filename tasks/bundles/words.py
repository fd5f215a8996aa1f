"""What an import and a join did, in sentences for the command line and the page."""

from engine.formatting import listing
from tasks.bundles.comparing import in_words
from tasks.bundles.importing import Imported
from tasks.bundles.joining import Joined
from tasks.units import plural


def imported(done: Imported) -> list[str]:
    """Return sentences on an import; the first says what is here now."""
    count = f"{done.done:,} of {plural(done.stages, 'stage')} done"
    source = f" from {done.lab}" if done.lab else ""
    if done.is_new:
        lines = [f"imported {done.name}{source} as {done.study_id}: {count}"]
    elif done.added:
        lines = [f"{done.name} is here as {done.study_id}: added {plural(done.added, 'result')}{source}, {count}"]
    else:
        lines = [f"{done.name} is here already as {done.study_id}: nothing was added, {count}"]
    if done.study_id != done.bundle_id:
        lines.append(f"study {done.bundle_id} was deleted here, so that this one has an id of its own")
    if done.with_weights:
        lines.append(f"added the weights of {plural(done.with_weights, 'stage')}")
    if sentence := in_words(done.other):
        lines.append(sentence)
    if done.running:
        lines.append(f"{plural(done.running, 'stage')} in training here were left out; import it again to compare them")
    if done.engine is not None:
        lines.append(
            f"version {done.engine} of the engine made it, and this one is another: pages show its results, and no "
            "study here reuses them"
        )
    elif done.reusable is not None and done.reusable < done.done:
        lines.append(
            f"a study of these settings would reuse {done.reusable:,} of {done.done:,} results here, since the others "
            "were made by other code; pages show them all"
        )
    if done.done < done.stages and done.is_new:
        lines.append(
            f"{plural(done.stages - done.done, 'stage')} are not done, and nothing trains them: ticketscope retry "
            f"{done.study_id}, or Continue on its page, does"
        )
    if done.datasets:
        names = listing([f"{name[:60]!a}" for name in done.datasets[:5]])
        lines.append(f"this Ticketscope does not know the dataset {names}, so that only what is done can be read here")
    if not done.recorded:
        lines.append("pages show it once the recorder has written it; start ticketscope recorder")
    return lines


def joined(done: Joined) -> str:
    """Return a sentence on a join."""
    seeds = plural(len(done.seeds), "seed")
    count = f"{done.done:,} of {plural(done.stages, 'stage')} done"
    if not done.is_new:
        return f"{done.study_id} has these {seeds} already: {count}"
    rest = "nothing is trained" if done.done == done.stages else f"ticketscope retry {done.study_id} trains the rest"
    return f"joined {seeds} as {done.study_id}, {done.name}: {count}; {rest}"

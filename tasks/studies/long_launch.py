"""What to know before a study is launched that takes long."""

from datetime import tzinfo

from tasks.studies.planning import LONG, PlanPreview
from tasks.units import clock, duration, plural, size


def is_long(preview: PlanPreview) -> bool:
    """Return whether a study takes long enough to ask before it is launched."""
    return preview.estimated_seconds > LONG


def costs(preview: PlanPreview, zone: tzinfo | None = None) -> str:
    """Return a sentence on the trainings of a launch, its time, its end and its space; zone: as in `units.clock`."""
    space = "" if preview.space is None else f", and {size(preview.space)} in the artifact store"
    return (
        f"{plural(preview.remaining, 'training')}, about {duration(preview.estimated_seconds)} on "
        f"{plural(preview.workers, 'worker')}, done {clock(preview.estimated_seconds, zone)}{space}."
    )

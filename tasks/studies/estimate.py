"""How long a plan will take on given workers, from the speeds that were measured so far."""

from collections.abc import Container, Sequence

from data.database.database import Database
from data.datasets.registry import shape
from data.queries import studies
from data.settings import Settings
from engine.dataset import Shape
from engine.study.cost import Speed, estimate_seconds
from engine.study.plan import Plan


def estimated_seconds(config: Settings, plan: Plan, reused: Container[str], devices: Sequence[str]) -> float:
    """Return the seconds until a plan is done on workers of the given devices; reused: stages that are done already.

    Raises DatasetError where a dataset is not there.
    """
    names = {stage.images.name: stage.images.identity for stage in plan.stages.values()}
    shapes = {name: shape(name, config.home) for name in names}
    kind = "cuda" if any(device.startswith("cuda") for device in devices) else "cpu"
    speeds = _speeds(config, {identity: shapes[name] for name, identity in names.items()}, kind)
    return estimate_seconds(plan, reused, shapes, speeds, len(devices), kind, _flops)


def _flops(network: str, channels: int, image_size: int, classes: int) -> float:
    # PyTorch takes seconds to import, which nobody need wait for where speeds were measured.
    from engine.models.flops import flops_per_image

    return flops_per_image(network, channels, image_size, classes)


def _speeds(config: Settings, shapes: dict[str, Shape], kind: str) -> dict[Speed, float]:
    """Return measured seconds per epoch on devices of a kind, over the datasets in shapes (by identity)."""
    if not config.database.exists():
        return {}
    sums: dict[Speed, tuple[float, int]] = {}
    for row in studies.speeds(Database(config.database)).to_dict("records"):
        known = shapes.get(row["identity"])
        # Results name their device in words; of a CPU these are "cpu".
        if known is None or (row["device"] == "cpu") != (kind == "cpu"):
            continue
        limit = row["train_images"]
        train = known.train if limit != limit or limit is None else int(limit)
        key = Speed(row["network"], known.image_size, train, int(row["batch_size"]), row["precision"])
        seconds, epochs = sums.get(key, (0.0, 0))
        sums[key] = (seconds + row["seconds_per_epoch"] * row["epochs"], epochs + int(row["epochs"]))
    return {key: seconds / epochs for key, (seconds, epochs) in sums.items()}

"""The layers of any network, also of an added one, without importing PyTorch in this process."""

import json
import logging
import subprocess
from dataclasses import asdict
from functools import cache
from hashlib import blake2b
from pathlib import Path

from data.atomic import write_whole
from data.plugins import apart
from data.settings import settings
from engine import code
from engine.dataset import Shape
from engine.registry import NETWORKS, network_identity
from engine.study import layers
from engine.study.layers import Anatomy, Layer
from engine.study.plan import Stage
from tasks.process import ROOT

log = logging.getLogger(__name__)

# A network that takes longer to build counts as one whose layers cannot be determined.
SECONDS = 60.0


class CannotBeBuilt(ValueError):
    """A network cannot be built, or does not accept images of a shape."""


def anatomy(network: str, shape: Shape, home: Path) -> Anatomy | None:
    """Return the layers of a network for images of a shape, None if they cannot be determined.

    An added network is built in another process, and its layers are cached below home by its code. Raises CannotBeBuilt
    for a network that cannot be built.
    """
    if network not in NETWORKS:
        return None
    place = (shape.channels, shape.image_size, shape.classes)
    builtin = layers.known(network, *place)
    if builtin is not None:
        return builtin
    entry = NETWORKS[network]
    try:
        identity = network_identity(network)
    except code.CodeError:
        # The plan, which needs this identity too, reports the error.
        return None
    arguments = json.dumps(entry.arguments)
    named = [entry.builder, identity, *place, "flops", *(arguments for _ in entry.arguments[:1])]
    name = blake2b(json.dumps(named).encode(), digest_size=16).hexdigest()
    file = home / "networks" / f"{name}.json"
    outcome = _read(file) or inspected(entry.builder, identity, arguments, *place)
    if isinstance(outcome, str):
        raise CannotBeBuilt(outcome)
    if outcome is not None and not file.exists():
        write_whole(file, json.dumps(asdict(outcome)).encode())
    return outcome


def stage_space(stage: Stage, layers: Anatomy) -> int:
    """Return the bytes of weights that a finished stage leaves in the artifact store; layers: of its network.

    Batch norm, layers that are never pruned, and the result, which are small beside the weights, are left out.
    """
    weights = sum(layer.size for layer in layers.layers)
    # A mask takes one byte for each weight, everything else four.
    saved = {"pretrain": 12, "admm": 4, "retrain": 5}[stage.kind] + (4 if stage.movement else 0)
    return saved * weights


def _read(path: Path) -> Anatomy | None:
    try:
        return _parsed(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%r) and is written again", path, error)
        path.unlink(missing_ok=True)
        return None


@cache
def inspected(builder: str, identity: str | None, arguments: str, *place: int) -> Anatomy | str | None:
    """Return the layers that another process finds, the reason why it cannot build the network, or None for neither.

    The answer is cached in this process, so that no page waits twice. identity: the hash of the network's code.
    arguments: of the network's entry, as JSON.
    """
    # The code may be a plugin's.
    command, environment = apart.command(settings(), builder, arguments, *map(str, place))
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        values = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        return str(values["error"])[:500] if "error" in values else _parsed(values)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        log.warning("the layers of %s are not known: %s", builder, error)
        return None


def _parsed(values: dict[str, object]) -> Anatomy:
    rows, pixels, flops = values["layers"], values["norm_pixels"], values["flops"]
    if not isinstance(rows, list) or not (pixels is None or isinstance(pixels, int)) or not isinstance(flops, int):
        raise ValueError("no anatomy of a network")
    return Anatomy(tuple(Layer(**row) for row in rows), pixels, flops)

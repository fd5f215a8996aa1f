"""Checking that a stage was planned with this worker's engine and code."""

from collections.abc import Container

from engine.code import loaded_identity
from engine.errors import UserError
from engine.registry import NETWORKS, SCORES, STARTS, implementations
from engine.study.plan import ENGINE_VERSION, Stage


class OtherEngine(UserError):
    """A stage that was planned with another engine, or with other code than this worker has loaded."""


def check_engine(stage: Stage, fingerprint: str) -> None:
    """Raise OtherEngine for a stage, queued under a fingerprint, that was planned with another engine or other code."""
    if stage.fingerprint != fingerprint:
        raise OtherEngine(
            f"stage {fingerprint} was queued by a Ticketscope whose engine gives other numbers than this worker's "
            f"(version {ENGINE_VERSION}); bring all hosts to one version, then launch the study again"
        )
    named: dict[str, tuple[str | None, Container[str]]]
    named = {"network": (stage.network, NETWORKS), "score": (stage.score, SCORES), "start": (stage.start, STARTS)}
    planned = dict(stage.code)
    for role, (name, table) in named.items():
        if name is not None and name not in table:
            raise OtherEngine(
                f"stage {fingerprint} names the {role} {name!r} ({planned.get(role, 'version 1')} planned), which this "
                "worker does not know; if it comes from a plugin, name the same one in TICKETSCOPE_PLUGINS on this "
                "host, else bring all hosts to the same code; restart the workers, then launch the study again"
            )
    loaded = dict(implementations(stage.network, stage.score, stage.start, loaded_identity))
    differing = [
        f"{role} {name} ({planned.get(role, 'version 1')} planned, {loaded.get(role, 'version 1')} loaded)"
        for role, (name, _) in named.items()
        if planned.get(role) != loaded.get(role)
    ]
    if differing:
        raise OtherEngine(
            f"stage {fingerprint} was planned with other code than this worker has loaded: {', '.join(differing)}; "
            "bring all hosts to the same code, restart the workers, then launch the study again"
        )

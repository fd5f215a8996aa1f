"""Renaming the ADMM of studies that an older Ticketscope launched, whose rho was constant."""

from collections.abc import Sequence
from dataclasses import replace

from engine.study.plan import Role, Stage

ADMM, CONSTANT = "admm", "admm_constant"


def renamed(stages: Sequence[tuple[str, Stage]], roles: Sequence[Role], toml: str) -> tuple[tuple[Role, ...], str]:
    """Return the roles and the TOML of a launched study with the present names of its pruners.

    Roles of ADMM become roles of admm_constant if the rho of their stages is constant.
    """
    constant = {fingerprint for fingerprint, stage in stages if stage.kind == "admm" and not stage.rho_grows}
    below = {fingerprint for fingerprint, stage in stages if stage.parent in constant}
    older = [role.pruner == ADMM and role.fingerprint in below for role in roles]
    if not any(older):
        return tuple(roles), toml
    # This is the same as in `data/database/migrations/004.sql`.
    return (
        tuple(replace(role, pruner=CONSTANT) if old else role for role, old in zip(roles, older, strict=True)),
        toml.replace(f'\n    "{ADMM}",\n', f'\n    "{CONSTANT}",\n'),
    )

"""Today's names in studies that an older Ticketscope launched: its ADMM had a constant rho."""

from collections.abc import Sequence
from dataclasses import replace

from engine.study.plan import Role, Stage

ADMM, CONSTANT = "admm", "admm_constant"


def renamed(stages: Sequence[tuple[str, Stage]], roles: Sequence[Role], toml: str) -> tuple[tuple[Role, ...], str]:
    """Return the roles and the text of a launched study with its pruners' names of today.

    Roles of ADMM whose stages have a constant rho are of ADMM with constant rho; others are as they were.
    """
    constant = {fingerprint for fingerprint, stage in stages if stage.kind == "admm" and not stage.rho_grows}
    below = {fingerprint for fingerprint, stage in stages if stage.parent in constant}
    older = [role.pruner == ADMM and role.fingerprint in below for role in roles]
    if not any(older):
        return tuple(roles), toml
    # As `data/database/migrations/004.sql` does it.
    return (
        tuple(replace(role, pruner=CONSTANT) if old else role for role, old in zip(roles, older, strict=True)),
        toml.replace(f'\n    "{ADMM}",\n', f'\n    "{CONSTANT}",\n'),
    )

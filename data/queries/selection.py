"""The selections of points that queries read: of one study, of several studies, or of a plan."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from engine.study.plan import Role

# These columns identify a point.
ROLE = tuple(field.name for field in fields(Role) if field.name != "fingerprint")


@dataclass(frozen=True)
class OneStudy:
    """The points of one study, in the order of its plan."""

    study_id: str


@dataclass(frozen=True)
class Studies:
    """The points of several studies, in the order of the ids and then of each plan.

    Frames have four columns in front: study_id, study (its name), recipe and rounds, see `data.queries.labels.label`.
    Rows that differ in recipe or rounds must not be averaged. A training that several studies share has a row for each
    of them; `data.queries.labels.once` keeps one.
    """

    study_ids: Sequence[str]


@dataclass(frozen=True)
class Roles:
    """The points of a plan in the order of the roles, from any study that trained them; ps: the p of their overlaps."""

    roles: Sequence[Role]
    ps: Sequence[float] = ()

    def table(self) -> pa.Table:
        """Return the roles as a table with the columns of the database's table `roles`, with a null study_id."""
        types = {"learning_rate": pa.float64(), "sparsity": pa.float64(), "seed": pa.int64()}
        columns = {
            name: pa.array([getattr(role, name) for role in self.roles], types.get(name, pa.string()))
            for name in ("fingerprint", *ROLE)
        }
        count = len(self.roles)
        columns["study_id"] = pa.nulls(count, pa.string())
        columns["position"] = pa.array(range(count), pa.int32())
        return pa.table(columns)


Selection = OneStudy | Studies | Roles

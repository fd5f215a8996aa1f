"""All examples of docs/extending.md as one plugin, the folder of a package: TICKETSCOPE_PLUGINS=docs/examples."""

from . import halfway, lenet5, mlp, movement, stripes

__all__ = ["halfway", "lenet5", "mlp", "movement", "stripes"]

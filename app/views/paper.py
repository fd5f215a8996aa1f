"""Paper: every figure of the paper as a card."""

from app.auth import access
from app.paper import overview

access.require_owner()
overview.guarded(overview.overview)

"""Paper: every figure of the paper as a card."""

from app import access, paper_overview

access.require_owner()
paper_overview.guarded(paper_overview.overview)

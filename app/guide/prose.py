"""Text in which the terms of the glossary are links."""

from app import words
from app.guide.terms import linked
from app.state import audience


def prose(text: str) -> str:
    """Return text as Markdown with links to the glossary, which viewers of a link cannot open and do not get."""
    return words.marked(text) if audience.is_viewer() else linked(text)

"""Tables that a command writes into a document, between two marks."""

from collections.abc import Sequence


def updated(document: str, begin: str, end: str, lines: Sequence[str]) -> str:
    """Return a document with lines between its two marks; ValueError if they are missing."""
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the document lacks its marks; put {begin} and {end} where the table belongs")
    return "\n".join([before + begin, *lines, end + after])

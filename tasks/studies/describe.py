"""Changing what a study is called: its name, its note and its tags."""

from collections.abc import Iterable

from data.database.events import NOTE_CHARACTERS, TAGS
from data.queries.studies import UnknownStudy
from engine.errors import UserError
from engine.formatting import can_be_seen
from engine.study.fields import UNSEEN
from tasks.broker.connection import connect, errors_explained
from tasks.queue import naming

NAME_CHARACTERS, TAG_CHARACTERS = 100, 30


class DescriptionError(UserError):
    """A study cannot be called as requested."""


def describe(
    study_id: str,
    name: str | None = None,
    note: str | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> None:
    """Change the name, the note or the tags of a study; what is None stays as it is.

    add, remove: tags, in which spaces around words do not count. Two changes at once, as in two tabs, are both made.
    Raises DescriptionError, BrokerError, and UnknownStudy for a study that the queue does not know.
    """
    added = [checked_tag(tag) for tag in add]
    name = None if name is None else _checked_name(name)
    note = None if note is None else _checked_note(note)
    with errors_explained():
        fits = naming.describe(connect(), study_id, name, note, added, list(remove))
        if fits is None:
            raise UnknownStudy(f"the queue knows no study {study_id!r}; ticketscope status lists studies")
        if not fits:
            raise DescriptionError(f"a study has at most {TAGS} tags; remove one first")


def checked_tag(tag: str) -> str:
    """Return a tag without needless spaces; DescriptionError for one that cannot be seen or is too long."""
    tag = " ".join(tag.split())
    _require_seen("tag", tag, TAG_CHARACTERS)
    return tag


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    _require_seen("name", name, NAME_CHARACTERS)
    return name


def _checked_note(note: str) -> str:
    note = note.strip()
    if len(note) > NOTE_CHARACTERS:
        raise DescriptionError(f"a note has at most {NOTE_CHARACTERS:,} characters, given {len(note):,}")
    return note.encode(errors="replace").decode()


def _require_seen(what: str, text: str, most: int) -> None:
    if not 1 <= len(text) <= most:
        raise DescriptionError(f"a {what} has 1 to {most} characters, given {len(text)}")
    if unseen := UNSEEN.search(text):
        raise DescriptionError(f"the {what} {text[:80]!a} contains the invisible character {unseen[0]!a}; leave it out")
    if not can_be_seen(text):
        raise DescriptionError(f"the {what} {text[:80]!a} shows nothing; give one with letters or digits")

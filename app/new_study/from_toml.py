"""Filling in the New study form from TOML, at once, with faults by line."""

import re
from collections import Counter
from dataclasses import dataclass

import streamlit as st
from pydantic import ValidationError

from app import words
from app.new_study import filling
from app.new_study.draft import draft_of
from engine.study import toml_limits
from engine.study.spec import StudyError, read_study

TEXT, UPLOAD = "toml_text", "toml_upload"
# The session key of the faults of the text.
_FAULTS = "toml_faults"
# The most characters of a faulty line that are shown.
LONGEST_LINE = 60

# Texts and comments, which may hold what looks like a key; a text that is never closed ends with the file.
_TEXTS = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
# The most characters of a line in which a key or a table is sought.
_LONGEST_HEAD = 1_000
_TABLE = re.compile(r"\s*(\[\[?)\s*([\w.\"' -]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*|\"[^\"]*\"|'[^']*')\s*=")
_AT_LINE = re.compile(r"\s*\((?:at line (\d+), column \d+|at end of document)\)")
_PART = re.compile(r"\bpart (\d+)\b")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a text; line: where, counted from 1, None where it has no place, such as a missing key."""

    line: int | None
    message: str


def choose() -> None:
    """Let the reader upload or paste TOML; it fills in the form at once, or is shown with its faults."""
    with st.container(border=True, key="from_toml"):
        st.file_uploader("Upload a study", type="toml", key=UPLOAD, max_upload_size=1, on_change=_read_upload)
        st.text_area(
            "or paste one, and correct it here",
            key=TEXT,
            height=200,
            placeholder='name = "My study"\n…',
            on_change=_read_text,
            persist_state="session",
        )
        faults: list[Fault] = st.session_state.get(_FAULTS, [])
        if faults:
            lines = st.session_state.get(TEXT, "").splitlines()
            head = f"**The form is as it was**, since the text has {words.plural(len(faults), 'fault')}:"
            with st.container(key="toml_problem_shown"):
                st.error("\n".join([head, "", *(f"- {_sentence(fault, lines)}" for fault in faults)]))
        elif st.session_state.get(TEXT, "").strip():
            st.markdown(":small[:green[:material/check: The text has filled in the form.]]")


def _sentence(fault: Fault, lines: list[str]) -> str:
    message = words.lines(fault.message)
    if fault.line is None:
        return message
    line = lines[fault.line - 1].strip() if fault.line <= len(lines) else ""
    line = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
    return f"**Line {fault.line}**{f' ({words.plain(line)})' if line else ''}: {message}"


def _read_upload() -> None:
    upload = st.session_state[UPLOAD]
    if upload is None:
        return
    try:
        st.session_state[TEXT] = toml_limits.decoded(upload.getvalue())
    except toml_limits.TomlError as error:
        st.session_state[_FAULTS] = [Fault(None, f"{upload.name} cannot be read: {error}")]
        return
    _read_text()


def _read_text() -> None:
    """Fill in the form from the text, or leave the form as it is and note the faults."""
    text = st.session_state[TEXT]
    st.session_state[_FAULTS] = []
    if not text.strip():
        return
    try:
        study = read_study(text)
    except StudyError as error:
        st.session_state[_FAULTS] = faults(text, error)
    else:
        filling.replace(draft_of(study), typed=True)


def faults(text: str, error: StudyError) -> list[Fault]:
    """Return the faults of a text by line, those without one first."""
    if len(text) > toml_limits.CHARACTERS:
        return [Fault(None, message) for message in error.fields.values()]
    keys, places = lines_of(text), _places(error)
    found = [_fault(field, message, places.get(field, field), keys, text) for field, message in error.fields.items()]
    return sorted(found, key=lambda fault: fault.line or 0)


def _places(error: StudyError) -> dict[str, str]:
    """Return where each faulty field is, which for one of a part has the part's number, as in `lines_of`."""
    places: dict[str, str] = {}
    if isinstance(error.__cause__, ValidationError):
        for item in error.__cause__.errors():
            field = ".".join(part for part in item["loc"] if isinstance(part, str))
            numbered = [f".{part}" if isinstance(part, str) else f"#{part + 1}" for part in item["loc"]]
            places.setdefault(field, "".join(numbered).removeprefix("."))
    return places


def _fault(field: str, message: str, place: str, keys: dict[str, int], text: str) -> Fault:
    message = message.removeprefix("the text cannot be read as a study: ")
    if at := _AT_LINE.search(message):
        return Fault(int(at[1] or text.count("\n") + 1), message.replace(at[0], ""))
    if not field:
        part = _PART.search(message)
        return Fault(keys.get(f"parts#{part[1]}") if part else None, message)
    line = None
    # Of a key that is missing, the line of its table would mislead.
    while place and line is None and not message.startswith("is missing"):
        line = keys.get(place)
        # The value of a key may be a table or a list, whose parts have no line of their own.
        place = re.sub(r"[.#][^.#]*\Z|\A[^.#]*\Z", "", place)
    return Fault(line, f"{field}: {message}")


def lines_of(text: str) -> dict[str, int]:
    """Return the line of each key of a TOML text, counted from 1.

    Keys have their table before a dot; tables of a list are counted: "recipe.epochs", "parts#2" and "parts#2.seeds".
    """
    # What looks like a key within a text of several lines is none.
    bare = _TEXTS.sub(lambda found: "\n" * found[0].count("\n") or found[0], text)
    places: dict[str, int] = {}
    table, count = "", Counter[str]()
    for number, full in enumerate(bare.split("\n"), start=1):
        line = full[:_LONGEST_HEAD]
        if key := _KEY.match(line):
            places.setdefault(f"{table}.{_bare(key[1])}".removeprefix("."), number)
        elif header := _TABLE.fullmatch(line.rstrip("\r")):
            table = _bare(header[2])
            if header[1] == "[[":
                count[table] += 1
                table = f"{table}#{count[table]}"
            places.setdefault(table, number)
    return places


def _bare(key: str) -> str:
    return re.sub(r"[\s\"']", "", key)

"""A study by its link: what its page shows, read from the dashboard that serves it."""

import json
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from app.export.charts import Place
from data.shared_links import PAGE, TOKEN
from data.weights.saved import SavedWeights, WeightsMissing
from engine.errors import UserError
from ticketscope.from_tables import NOT_IN_TABLES, places_from_tables
from ticketscope.local import FolderStudy, NoStudyHere, Trainable
from ticketscope.results import Progress

# Seconds without an answer, and the most bytes of one.
SECONDS, MOST_BYTES = 60.0, 500_000_000
# The most characters of a server's text that an error repeats.
MOST_TEXT = 500


class LinkError(UserError):
    """A link shows nothing, or its server does not answer as a dashboard does."""


def open_place(place: str | Path, study: str | None = None) -> "SharedStudy | FolderStudy":
    """Return the study of a link or a folder; see `ticketscope.open`."""
    if isinstance(place, str) and "://" in place:
        return SharedStudy(Link(place), study)
    return FolderStudy(Path(place).expanduser())


class Link:
    """The address of a link, whose token no text of it contains."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address.strip())
        tokens = parse_qs(parts.query).get(TOKEN, [])
        folder, _, page = parts.path.rstrip("/").rpartition("/")
        fits = parts.scheme in ("http", "https") and parts.hostname and page == PAGE and len(tokens) == 1
        if not fits or parts.username is not None or parts.password is not None:
            # The address may hold a token or a password, so it is not repeated.
            raise NoStudyHere(
                "this is no link of Ticketscope; give the address that Share made, such as "
                f"https://tickets.example/{PAGE}?{TOKEN}=..., or a folder"
            )
        self._token = tokens[0]
        self._base = urlunsplit((parts.scheme, parts.netloc, folder, "", ""))

    def __repr__(self) -> str:
        return f"{self._base}/{PAGE}?{TOKEN}=..."

    def get(self, name: str, study_id: str | None = None) -> bytes:
        """Return the content of a file of the link; LinkError if it is not served."""
        query = {TOKEN: self._token} | ({} if study_id is None else {"study": study_id})
        request = urllib.request.Request(f"{self._base}/data/{quote(name)}?{urlencode(query)}")
        try:
            with urllib.request.build_opener(_SameHost).open(request, timeout=SECONDS) as answer:
                content = bytes(answer.read(MOST_BYTES + 1))
        except HTTPError as error:
            # The chain of an error would show the request, with its token.
            with error:
                raise LinkError(self._said(error)) from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise LinkError(f"{self._base} does not answer: {self._clean(str(reason))}; try again later") from None
        if len(content) > MOST_BYTES:
            raise LinkError(f"{self._base} sent more than {MOST_BYTES:,} bytes for {name}; ask for it as a file")
        return content

    def _said(self, error: HTTPError) -> str:
        kind = error.headers.get_content_type() if error.headers else ""
        text = error.read(4 * MOST_TEXT).decode(errors="replace") if kind == "text/plain" else ""
        said = self._clean(text) or f"it answered with status {error.code}"
        return f"{self._base}: {said}"

    def _clean(self, text: str) -> str:
        """Return a text that somebody else wrote on one line, without the token."""
        hidden = text.replace(self._token, "...") if self._token else text
        return "".join(c if c.isprintable() else " " for c in hidden).strip()[:MOST_TEXT]


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to the same server only, since the address holds the token."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to the new address; LinkError where that is another server."""
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        is_same = (new.scheme, new.netloc) == (old.scheme, old.netloc)
        # A server may ask for TLS.
        if not is_same and (old.scheme, new.scheme, new.netloc) != ("http", "https", old.netloc):
            fp.close()
            raise LinkError(
                f"{old.scheme}://{old.netloc} sends its visitors to {new.scheme}://{new.hostname or ''}, which is "
                "another server and must not get the link; ask the sender for a link of that server"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class SharedStudy(Trainable):
    """A study as a link shows it; each call asks the server, so that results are live until the link ends."""

    _missing_charts = NOT_IN_TABLES

    def __init__(self, link: Link, study: str | None = None) -> None:
        self._link = link
        shown = _listed(link)
        found = [row for row in shown if study is None or study in (row["study_id"], row["name"])]
        if len(found) != 1:
            names = ", ".join(f"{row['study_id']} ({row['name']})" for row in shown)
            wrong = "shows several studies" if study is None else f"shows no one study {study!r}"
            raise LinkError(f"the link {wrong}; give study= with the id of one: {names}")
        self.study_id = str(found[0]["study_id"])

    def __repr__(self) -> str:
        try:
            name, progress = self._about()
        except UserError as error:
            return f"<study {self.study_id} by link: {error}>"
        return f"<study {self.study_id} {name!r} by link: {progress}>"

    @property
    def toml(self) -> str:
        """The study as TOML, without what viewers do not see, such as paths of folders."""
        return self._link.get("study.toml", self.study_id).decode(errors="replace")

    def _about(self) -> tuple[str, Progress]:
        for row in _listed(self._link):
            if row["study_id"] == self.study_id:
                return str(row["name"]), Progress(str(row["state"]), int(row["done"]), int(row["stages"]))
        raise LinkError("the link no longer shows this study; ask the sender for a new one")

    def _parquet(self, name: str) -> bytes:
        content = self._link.get(f"{name}.parquet", self.study_id)
        if not content.startswith(b"PAR1"):
            raise LinkError(f"{self._link!r} sent no table of {name}; open the link in a browser")
        return content

    def _places(self) -> Sequence[Place]:
        return places_from_tables(self.study_id, self.settings, self.accuracy(), self.overlap())

    def _weights(self, which: str, choice: dict[str, Any]) -> SavedWeights:
        del which, choice
        raise WeightsMissing("a link shows no weights; ask the sender for a bundle of the study with its weights")


def _listed(link: Link) -> list[dict[str, Any]]:
    """Return the studies that a link shows."""
    try:
        rows = json.loads(link.get("studies.json"))["studies"]
        return [{name: row[name] for name in ("study_id", "name", "state", "done", "stages")} for row in rows]
    except (ValueError, KeyError, TypeError):
        raise LinkError(
            f"{link!r} does not answer as a dashboard of Ticketscope of this version; open it in a browser"
        ) from None

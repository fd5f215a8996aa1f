"""The commands that give others access: share, snapshot, password, export."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from data.settings import settings
from tasks.cli.console import StudyId, err, out, recorded

if TYPE_CHECKING:
    from data.database.database import Database
    from data.shared_links import Anonymous

commands = typer.Typer()

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@commands.command()
def share(
    study_id: Annotated[str | None, typer.Argument(metavar="[STUDY_ID]", help="The study to share.")] = None,
    note: Annotated[str, typer.Option(help="Who it is for, to tell links apart.")] = "",
    expires: Annotated[str, typer.Option(help="When it ends: such as 12h, 7d or 2w from now, or never.")] = "30d",
    url: Annotated[str | None, typer.Option(help="Where others reach the dashboard [TICKETSCOPE_URL].")] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="For double-blind review: no names of people, hosts and folders.")
    ] = False,
    title: Annotated[str, typer.Option(help="With --anonymous: the study's name for reviewers.")] = "",
    with_notes: Annotated[bool, typer.Option("--with-notes", help="With --anonymous: show the study's note.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List all links.")] = False,
    revoke: Annotated[str | None, typer.Option(metavar="LINK", help="End a link at once: its id or address.")] = None,
) -> None:
    """Make a link that lets someone without an account read one study; list links; revoke them."""
    from data import shared_links

    with recorded() as database:
        if revoke is not None:
            out.print(f"revoked link {shared_links.revoke(database, revoke)}")
        elif study_id is not None:
            if not anonymous and (title or with_notes):
                raise shared_links.ShareError("--title and --with-notes are for anonymous links; give --anonymous too")
            hidden = shared_links.Anonymous(title, with_notes) if anonymous else None
            _share(database, study_id, note, expires, url or settings().url, hidden)
        elif listed:
            out.print(_links(database))
        else:
            raise shared_links.ShareError("nothing to share; give a STUDY_ID, --list, or --revoke LINK")


def _share(
    database: "Database", prefix: str, note: str, expires: str, url: str | None, anonymous: "Anonymous | None"
) -> None:
    from data import shared_links
    from data.queries import studies

    study_id = studies.find_study(database, prefix)
    link, token = shared_links.create(database, [study_id], note=note, expires_at=_end(expires), anonymous=anonymous)
    ends = f"until {link.expires_at:%Y-%m-%d %H:%M} UTC" if link.expires_at else "until it is revoked"
    kind = "anonymous link" if anonymous else "link"
    out.print(f"{kind} {link.share_id} to {study_id}, {ends}; its address is shown only now:")
    out.print(shared_links.link(url, token), soft_wrap=True, highlight=False)
    if not url:
        out.print(
            "It opens on this machine only; for others, give --url or set TICKETSCOPE_URL, the address they reach."
        )
    if link.anonymous:
        name = "the title that you gave" if link.anonymous.title else "the study's name (--title gives another)"
        out.print(f"Still visible: {name}, its recipe and numbers, models of GPUs, times, and this address.")


def _end(span: str) -> datetime | None:
    """Return the time in UTC after a span such as 12h, 7d or 2w from now; None for never."""
    from data.shared_links import ShareError

    if span == "never":
        return None
    parts = re.fullmatch(r"([1-9]\d{0,4})([hdw])", span)
    if parts is None:
        raise ShareError(f"{span!r} is no span of time; give one such as 12h, 7d or 2w, or never")
    return datetime.now(UTC) + timedelta(**{_UNITS[parts[2]]: int(parts[1])})


def _links(database: "Database") -> Table:
    from data import shared_links

    table = Table(
        Column("link", no_wrap=True),
        "shows",
        "note",
        "made (UTC)",
        "ends (UTC)",
        "last used (UTC)",
        Column("state", min_width=9),
    )
    for row in shared_links.shares(database).to_dict("records"):
        state = "works" if row["works"] else "revoked" if _time(row["revoked_at"]) else "expired"
        state = "in the Trash" if row["trashed"] and state == "expired" else state
        table.add_row(
            str(row["share_id"]),
            ", ".join(row["study_ids"]) + (" (view)" if row["state"] else ""),
            escape(str(row["note"])),
            *(_time(row[name]) for name in ("created_at", "expires_at", "last_used_at")),
            f"{state}{', anonymous' * row['anonymous']}",
        )
    return table


def _time(at: datetime | None) -> str:
    # A missing time is None or NaT, which does not equal itself.
    return "" if at is None or at != at else f"{at:%Y-%m-%d %H:%M}"


@commands.command()
def snapshot(
    link: Annotated[str, typer.Argument(metavar="LINK", help="The address of a link to a study.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the page, such as one of a web server.")],
    every: Annotated[float, typer.Option(min=1.0, help="Seconds between looks at a study that trains.")] = 60.0,
) -> None:
    """Write what a link shows as one static page for any web server, anew while the study trains."""
    from data.shared_links import token_of
    from tasks.process import ROOT, python

    with recorded():
        command = python("-m", "app.export.snapshot", "--out", str(out_folder.absolute()), "--every", str(every))
        # Other accounts see the arguments of a process, and the token opens the link.
        done = subprocess.run(command, cwd=ROOT, input=token_of(link.strip()), text=True, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


@commands.command()
def password() -> None:
    """Ask for a password and print its hash, for TICKETSCOPE_PASSWORD_HASH."""
    from data.passwords import hashed

    text = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    out.print(hashed(text), soft_wrap=True, highlight=False)


@commands.command()
def export(
    study_id: StudyId,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the tables and the study's TOML.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one file that ticketscope import reads elsewhere.")
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="With --bundle: the weights and masks too.")] = False,
    lab: Annotated[
        str | None,
        typer.Option("--from", metavar="LAB", help="With --bundle: what it calls this place [TICKETSCOPE_LAB]."),
    ] = None,
) -> None:
    """Write a study's tables as Parquet and the study itself as TOML, or all of it as one bundle."""
    from data import parquet
    from data.bundles.format import BundleError
    from data.queries import studies
    from engine.study.spec import to_toml

    if (out_folder is None) == (bundle is None):
        raise BundleError(
            "give --out DIR for tables to read, or --bundle FILE for a file that ticketscope import reads"
        )
    if bundle is None and (weights or lab is not None):
        raise BundleError("--weights and --from are for bundles; give --bundle FILE too")
    with recorded() as database:
        full_id = studies.find_study(database, study_id)
        record = studies.study(database, full_id)
        if out_folder is not None:
            parquet.write(parquet.tables_from_database(database, full_id), out_folder)
            (out_folder / parquet.TOML).write_text(to_toml(record.study), encoding="utf-8")
            out.print(f"wrote {out_folder}")
        if bundle is not None:
            _bundle(database, full_id, bundle, settings().lab if lab is None else lab, weights)
    if record.state != "done":
        what = "tables hold" if bundle is None else "bundle holds"
        err.print(f"the study is {record.state}: the {what} the {record.counts['done']} stages that are done")


def _bundle(database: "Database", study_id: str, path: Path, lab: str, weights: bool) -> None:
    from data.artifacts.store import Artifacts
    from data.bundles import writer
    from tasks.units import plural, size

    artifacts = Artifacts(settings().artifacts) if weights else None
    written = writer.write_file(database, study_id, path, lab, artifacts)
    what = f"{plural(written.results, 'result')} of {plural(written.stages, 'stage')}"
    with_weights = ", with weights" if weights else ""
    out.print(f"wrote {escape(str(path))}: {what}{with_weights}, {size(path.stat().st_size)}", soft_wrap=True)
    if written.without_weights:
        err.print(
            f"the weights of {plural(written.without_weights, 'stage')} are missing, or are those of another training "
            "than the recorded one, and were left out"
        )
    named = f"as {escape(lab)}" if lab else "without a name (--from LAB gives one)"
    err.print(
        f"It names this place {named}, and says which workers, hosts and devices trained, and when. Whoever has the "
        "file reads all of that, and the paths of folders of images.",
        soft_wrap=True,
        highlight=False,
    )

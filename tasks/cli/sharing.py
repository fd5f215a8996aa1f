"""The commands about what others get to see: links, the password, exports."""

# Imported where used, as in tasks/__main__.py.

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from data.settings import settings
from tasks.cli.console import StudyId, err, out, recorded

commands = typer.Typer()


@commands.command()
def share(
    study_id: Annotated[str | None, typer.Argument(metavar="[STUDY_ID]", help="The study to share.")] = None,
    note: Annotated[str, typer.Option(help="Who it is for, to tell links apart.")] = "",
    expires: Annotated[str, typer.Option(help="When it ends: such as 12h, 7d or 2w from now, or never.")] = "30d",
    url: Annotated[str | None, typer.Option(help="Where others reach the dashboard [TICKETSCOPE_URL].")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List all links.")] = False,
    revoke: Annotated[str | None, typer.Option(metavar="LINK", help="End a link at once.")] = None,
) -> None:
    """Make a link that lets someone without an account read one study; list links; revoke them."""
    from data import shared_links
    from tasks.cli import links as sharing

    with recorded() as store:
        if revoke is not None:
            shared_links.revoke(store, revoke)
            out.print(f"revoked {escape(revoke)}")
        elif study_id is not None:
            sharing.create(store, settings(), study_id, note, expires, url, out)
        elif listed:
            out.print(sharing.table(store))
        else:
            raise shared_links.ShareError("nothing to share; give a STUDY_ID, --list, or --revoke LINK")


@commands.command()
def password() -> None:
    """Ask for a password and print its hash, for TICKETSCOPE_PASSWORD_HASH."""
    from data.passwords import hashed

    given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    out.print(hashed(given), soft_wrap=True, highlight=False)


@commands.command()
def export(
    study_id: StudyId,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the tables and the study's TOML.")],
) -> None:
    """Write a study's tables as Parquet, and the study itself as TOML."""
    from data import parquet
    from data.queries import studies
    from engine.study.spec import to_toml

    with recorded() as store:
        found = studies.find_study(store, study_id)
        record = studies.study(store, found)
        parquet.write(parquet.tables_from_database(store, found), out_folder)
        (out_folder / "study.toml").write_text(to_toml(record.study), encoding="utf-8")
    if record.state != "done":
        err.print(f"the study is {record.state}: the tables hold the {record.counts['done']} stages that are done")
    out.print(f"wrote {out_folder}")

"""What the viewers of a link read of the database: its studies alone, without paths, hosts, workers and tracebacks.

A query finds views in place of the tables that it names, so that no query, page or file needs to know who reads it. A
table without a view, such as a new one, does not exist for viewers, and neither does a column that its view lacks.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import duckdb

from data.database.database import Database, DatabaseError
from data.datasets.registry import FOLDER, with_datasets
from data.shared_links import Anonymous, Share
from engine.study.fields import UNSEEN
from engine.study.spec import Study, read_study, to_toml

# What a viewer reads of an error, by the pattern that the worker's text matches.
ERRORS = (
    ("(?i)out of memory|MemoryError|memory ran out", "Memory ran out."),
    ("^Its worker died", "Its workers died before they finished an epoch."),
    ("^(It is of another version of the engine|OtherEngine)", "Its workers had another version of the program."),
    ("^(DatasetError|UnidentifiedImageError)", "Its images could not be read."),
    ("^(Artifact|Result|Weights|Damaged)", "Weights that it needs, or has made, could not be read or written."),
    ("^OSError: .*Errno 28|No space left on device", "A disk was full."),
)
OTHER_ERROR = "Training ended with an error of the program."
# The sentence that follows each of them.
WHO_KNOWS = " Whoever shared this study can read what exactly went wrong."

_NOTICE = (
    "# The paths of folders were left out. In place of {names}, write folder:<path> with the path of your own copy.\n"
)

# Numbers, fingerprints and the names of layers.
_NUMBERS = {
    "epochs": "epoch, learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, seconds",
    "overlap_counts": "pair, layer, position, p, intersection, top, size, expected",
    "residuals": "round, residual",
    "supports": "kept, moved, accuracy, oneshot_accuracy",
    "retention": "epoch, p, intersection, top",
}
_DATASET = f"CASE WHEN starts_with(dataset, '{FOLDER}') THEN folder.shown ELSE dataset END AS dataset"
_OF_LINK = "fingerprint IN (SELECT fingerprint FROM file.main.study_stages SEMI JOIN shown USING (study_id))"


@dataclass(frozen=True)
class _Shown:
    """The rows of the studies of a link as viewers read them, and the shown names of folders by their names."""

    studies: tuple[tuple[str, str, str, str, list[str]], ...]
    folders: dict[str, str]


class ViewersDatabase(Database):
    """The database as the viewers of a link read it; share: None for a link that has ended, which shows no study."""

    def __init__(self, database: Database, share: Share | None) -> None:
        super().__init__(database.path)
        self._database = database
        self._study_ids = share.study_ids if share else ()
        self._anonymous = share.anonymous if share else None

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a connection that finds the views in place of the tables; else as `Database.reading`."""
        with self._database.reading() as connection:
            shown = self._shown(connection)
            connection.execute(
                "CREATE TEMP TABLE shown (study_id VARCHAR, name VARCHAR, toml VARCHAR, note VARCHAR, "
                "datasets VARCHAR[]); CREATE TEMP TABLE folders (name VARCHAR, shown VARCHAR)"
            )
            for table, rows in (("shown", shown.studies), ("folders", shown.folders.items())):
                for row in rows:
                    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row))
            connection.execute(_views(self._anonymous is not None))
            # Names are looked up among the views, and then in a database without tables.
            connection.execute("USE memory")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Refuse: viewers write nothing."""
        raise DatabaseError("a link is for reading; log in to change something")
        yield

    def folders(self) -> dict[str, str]:
        """Return the names of folders as viewers read them, by the names that have the paths."""
        with self._database.reading() as connection:
            return self._shown(connection).folders

    def _shown(self, connection: duckdb.DuckDBPyConnection) -> _Shown:
        rows = connection.execute(
            "SELECT study_id, toml, name, note FROM listed WHERE study_id IN (SELECT unnest(?::VARCHAR[]))",
            [list(self._study_ids)],
        ).fetchall()
        described = {row[0]: row for row in rows}
        datasets = connection.execute(
            "SELECT DISTINCT dataset FROM study_stages WHERE study_id IN (SELECT unnest(?::VARCHAR[])) "
            "AND starts_with(dataset, ?) ORDER BY dataset",
            [list(self._study_ids), FOLDER],
        ).fetchall()
        studies = tuple(described[study_id] for study_id in self._study_ids if study_id in described)
        return _as_shown(studies, tuple(str(row[0]) for row in datasets), self._anonymous)


def shown_folders(database: Database) -> dict[str, str]:
    """Return what a database calls the folders that it does not show by their paths, by the names that have these."""
    return database.folders() if isinstance(database, ViewersDatabase) else {}


def local_name(database: Database, dataset: str) -> str:
    """Return the name by which this machine finds a dataset that a database calls by another name for viewers."""
    folders = shown_folders(database) if dataset.startswith(FOLDER) else {}
    return next((name for name, shown in folders.items() if shown == dataset), dataset)


@lru_cache(maxsize=64)
def _as_shown(
    studies: tuple[tuple[str, str, str, str], ...], stage_datasets: tuple[str, ...], anonymous: Anonymous | None
) -> _Shown:
    """Return studies as viewers read them.

    studies: id, TOML, present name and note of each. stage_datasets: folders that stages name.
    """
    recorded = {
        study_id: read_study(toml, recorded=True).model_copy(update={"name": name, "note": note})
        for study_id, toml, name, note in studies
    }
    datasets = (name for study in recorded.values() for name in study.datasets)
    folders = _folders((*datasets, *stage_datasets), anonymous)
    rows = []
    for number, (study_id, study) in enumerate(recorded.items(), start=1):
        shown = with_datasets(study, lambda name: folders.get(name, name))
        if anonymous is not None:
            shown = shown.model_copy(update=_anonymised(study, anonymous, number if len(recorded) > 1 else None))
        names = [f'"{name}"' for name in shown.datasets if name.startswith(FOLDER)]
        notice = _NOTICE.format(names=", ".join(names)) if names else ""
        rows.append((study_id, shown.name, notice + to_toml(shown), shown.note, list(shown.datasets)))
    return _Shown(tuple(rows), folders)


def _anonymised(study: Study, anonymous: Anonymous, number: int | None) -> dict[str, str]:
    title = anonymous.title and (anonymous.title if number is None else f"{anonymous.title} {number}")
    return {"name": title or study.name, "note": study.note if anonymous.with_notes else ""}


def _folders(datasets: Iterable[str], anonymous: Anonymous | None) -> dict[str, str]:
    """Return a name without a path for each folder; two folders never get the same one."""
    names: dict[str, str] = {}
    for dataset in dict.fromkeys(name for name in datasets if name.startswith(FOLDER)):
        last = UNSEEN.sub("", dataset.removeprefix(FOLDER).rstrip("/\\").replace("\\", "/").rpartition("/")[2])
        name = "dataset" if anonymous is not None else last.replace('"', "").strip() or "images"
        number, shown = 1, f"{FOLDER}{name}"
        while shown in names.values():
            number += 1
            shown = f"{FOLDER}{name} {number}"
        names[dataset] = shown
    return names


@lru_cache(maxsize=2)
def _views(anonymous: bool) -> str:
    """Return the statements that create the views of all tables that viewers may read."""
    # A build of PyTorch by its user may name who made it.
    official = r"regexp_matches(versions, '\+(cpu|cu[0-9]+|rocm[0-9.]+|xpu)\"')"
    versions = f"CASE WHEN {official} THEN versions ELSE regexp_replace(versions, '\\+[^\"]*', '', 'g') END AS versions"
    errors = " ".join(f"WHEN regexp_matches(error, '{pattern}') THEN '{text}{WHO_KNOWS}'" for pattern, text in ERRORS)
    lab, imported_at = ("'' AS lab", "NULL::TIMESTAMP AS imported_at") if anonymous else ("lab", "imported_at")
    views = {
        "cancellations": "SELECT study_id, cancelled_at, revision FROM file.main.cancellations "
        "SEMI JOIN shown USING (study_id)",
        "launches": "SELECT study_id, revision FROM file.main.launches SEMI JOIN shown USING (study_id)",
        "study_stages": f"SELECT study_id, fingerprint, position, {_DATASET}, reused FROM file.main.study_stages "
        "LEFT JOIN folders AS folder ON folder.name = dataset SEMI JOIN shown USING (study_id)",
        "roles": f"SELECT study_id, position, fingerprint, {_DATASET}, network, learning_rate, seed, pruner, sparsity, "
        "start FROM file.main.roles LEFT JOIN folders AS folder ON folder.name = dataset "
        "SEMI JOIN shown USING (study_id)",
        # The specification of a stage names the folder that its first study had the images in. An added dataset may
        # have any text for its identity.
        "stages": "SELECT fingerprint, kind, CASE WHEN regexp_full_match(identity, '[0-9a-f]{32}') THEN identity "
        "ELSE md5(identity) END AS identity, train_images, test_images, network, learning_rate, seed, "
        'batch_size, "precision", score, start, sparsity, parent, root, epochs, '
        """json_merge_patch(spec, '{"images": {"name": "", "identity": ""}}')::VARCHAR AS spec """
        f"FROM file.main.stages WHERE {_OF_LINK}",
        "states": "SELECT fingerprint, state, attempt, 'worker ' || workers.number AS worker, "
        "'host ' || hosts.number AS host, "
        "CASE WHEN regexp_full_match(device, 'cpu|mps|cuda(:[0-9]+)?') THEN device END AS device, "
        f"CASE WHEN error IS NULL THEN NULL {errors} ELSE '{OTHER_ERROR}{WHO_KNOWS}' END AS error, "
        "started_at, finished_at, updated_at, revision FROM file.main.states "
        f"LEFT JOIN {_numbered('worker')} AS workers ON workers.name = worker "
        f"LEFT JOIN {_numbered('host')} AS hosts ON hosts.name = host WHERE {_OF_LINK}",
        "results": f"SELECT fingerprint, sparsity, seconds, device, {versions if anonymous else 'versions'}, epochs, "
        "test_accuracy, test_loss, best_test_accuracy, best_test_loss, best_epoch, diverged, mask "
        f"FROM file.main.results WHERE {_OF_LINK}",
        # Reviewers do not learn that a result was imported, but all viewers learn when it was trained.
        "origins": f"SELECT fingerprint, {lab}, NULL::VARCHAR AS worker, NULL::VARCHAR AS host, "
        "CASE WHEN regexp_full_match(device, 'cpu|mps|cuda(:[0-9]+)?') THEN device END AS device, "
        f"started_at, finished_at, {imported_at} FROM file.main.origins WHERE {_OF_LINK}",
        **{
            table: f"SELECT fingerprint, {columns} FROM file.main.{table} WHERE {_OF_LINK}"
            for table, columns in _NUMBERS.items()
        },
    }
    # Tags are the owner's own. Nothing here is in the Trash.
    studies = (
        "CREATE TEMP TABLE listed AS SELECT study_id, shown.name, shown.toml, shown.note, shown.datasets, networks, "
        "learning_rates, pruners, starts, seeds, created_at, []::VARCHAR[] AS tags, described, place "
        "FROM file.main.listed JOIN shown USING (study_id)"
    )
    named = "CREATE TEMP VIEW named AS SELECT *, NULL::TIMESTAMP AS trashed_at FROM listed"
    return "; ".join((studies, named, *(f"CREATE TEMP VIEW {table} AS {query}" for table, query in views.items())))


def _numbered(column: str) -> str:
    """Return a query for the numbers that workers or hosts have in place of their names, in the order they began in."""
    return (
        f"(SELECT {column} AS name, row_number() OVER (ORDER BY min(started_at), {column}) AS number "
        f"FROM file.main.states WHERE {_OF_LINK} AND {column} IS NOT NULL GROUP BY {column})"
    )

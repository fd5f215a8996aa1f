"""The full settings of recorded stages, which their rows have as JSON."""

from data.database.database import Database
from data.queries.studies import launched
from engine.study.plan import Stage


def one_of_each(database: Database, study_id: str) -> dict[tuple[str, str, str], Stage]:
    """Return one stage of a study for each network, dataset (as the study names it) and kind; UnknownStudy."""
    query = """
        SELECT network, dataset, kind, first(spec ORDER BY position)
        FROM study_stages JOIN stages USING (fingerprint) WHERE study_id = ? GROUP BY network, dataset, kind
    """
    with database.reading() as connection:
        launched(connection, [study_id])
        rows = connection.execute(query, [study_id]).fetchall()
    return {
        (str(network), str(dataset), str(kind)): Stage.model_validate_json(spec)
        for network, dataset, kind, spec in rows
    }

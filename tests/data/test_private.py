"""What lies below a home is closed to other accounts of the machine."""

import stat
from pathlib import Path

from redis import Redis

from data.database import backup
from data.database.database import Database
from data.private import private_file, private_folder
from data.settings import settings
from tests.data.made_results import Stream, made_plan, whole_study


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_database_and_backup_are_closed_also_if_an_older_version_made_them(home: Path, redis: Redis) -> None:
    assert redis.ping()
    database = Database(settings().database)
    database.ensure()
    database.record(whole_study(Stream(), made_plan()))
    copy = backup.backup(database, home / "backups" / "copy.duckdb").path
    assert (mode(home), mode(database.path), mode(copy)) == (0o700, 0o600, 0o600)
    home.chmod(0o755)
    database.path.chmod(0o644)
    Database(settings().database).ensure()
    assert (mode(home), mode(database.path)) == (0o700, 0o600)


def test_what_is_closed_already_is_not_changed(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "deep" / "folder")
    folder.chmod(0o500)
    assert mode(private_folder(folder)) == 0o500
    file = tmp_path / "file"
    file.touch(0o400)
    assert mode(private_file(file)) == 0o400

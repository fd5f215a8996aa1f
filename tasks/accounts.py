"""Working as the account that owns the home, so that a command that root runs leaves no file that is root's."""

import ctypes
import os
import pwd
import sys
from collections.abc import Iterable
from pathlib import Path

from data.settings import Settings
from data.settings_file import CHECKOUT
from engine.errors import UserError

_PR_SET_DUMPABLE = 4


class AccountError(UserError):
    """The account that owns the home cannot run Ticketscope as it is installed or set up."""


def become_owner(config: Settings) -> str | None:
    """Give up root's rights for those of the account that owns the home, and return its name.

    Returns None, and does nothing, for another account than root, and for a home that is root's or does not exist.
    AccountError if that account cannot read the program or the settings file.
    """
    if os.geteuid() != 0 or not config.home.exists() or (uid := config.home.stat().st_uid) == 0:
        return None
    try:
        account = pwd.getpwuid(uid)
        name, gid, folder = account.pw_name, account.pw_gid, account.pw_dir
        groups = os.getgrouplist(name, gid)
    except KeyError:
        # The folder is on a disk of another machine, or of a container.
        name, gid, folder = str(uid), config.home.stat().st_gid, "/"
        groups = [gid]
    os.setgroups(groups)
    needed = filter(None, (Path(sys.executable), CHECKOUT / "tasks" / "accounts.py", config.config))
    if (path := _unreadable(needed, uid, gid)) is not None:
        raise AccountError(
            f"{config.home} is {name}'s, so root's commands work there as {name}, who may not read {path}; let {name} "
            "read it, or put Ticketscope where every account may, such as /opt/ticketscope"
        )
    os.setgid(gid)
    os.setuid(uid)
    # Libraries keep files of their own below the account's folder.
    for variable in [variable for variable in os.environ if variable.startswith("XDG_")]:
        del os.environ[variable]
    os.environ.update(HOME=folder, USER=name, LOGNAME=name)
    if sys.platform == "linux":
        # Without it, this process could not read what the kernel says about it.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    return name


def _unreadable(paths: Iterable[Path], uid: int, gid: int) -> Path | None:
    """Return the first file that an account may not read; root's rights are back afterwards."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        return next((path for path in paths if not os.access(path, os.R_OK, effective_ids=True)), None)
    finally:
        os.seteuid(0)
        os.setegid(0)

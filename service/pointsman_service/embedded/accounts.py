"""Whom the servers run as: PostgreSQL refuses root, and Valkey needs none of its rights."""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pointsman_service.embedded.errors import CannotDropRoot

_NOBODY = 65534


@dataclass(frozen=True)
class Account:
    """A user and group a server is started as."""

    uid: int
    gid: int


def server_account(data_dir: Path) -> Account | None:
    """None for an ordinary user. For root: the owner of existing data, else ``nobody``."""
    nobody = nobody_for_root()
    if nobody is None:
        return None
    try:
        owner = data_dir.stat()
    except FileNotFoundError:
        return nobody
    return nobody if owner.st_uid == 0 else Account(owner.st_uid, owner.st_gid)


def nobody_for_root() -> Account | None:
    """None for an ordinary user, ``nobody`` for root."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(_NOBODY, _NOBODY)
    return Account(nobody.pw_uid, nobody.pw_gid)


def has_name(uid: int) -> bool:
    """Whether the user database knows ``uid``, which in a container it may not."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def hand_over(path: Path, account: Account | None) -> None:
    """Give ``path`` and all below it to ``account``; nothing to do when it owns ``path`` already, or for None."""
    if account is None or path.lstat().st_uid == account.uid:
        return
    try:
        for directory, directories, files in os.walk(path):
            for name in (*directories, *files):
                os.chown(os.path.join(directory, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise CannotDropRoot(str(error)) from error


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether ``account`` may enter or execute ``path``, which lies below directories that may be closed to it.

    Raises CannotDropRoot when nothing can be run as ``account``.
    """
    if account is None:
        return True
    try:
        # Asked of a process of that account: mode bits alone would not know of access lists and capabilities.
        asked = subprocess.run(
            ["/bin/sh", "-c", 'test -r "$0" && test -x "$0"', str(path)],
            user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotDropRoot(str(error)) from error
    return asked.returncode == 0


def make_private(path: Path, account: Account | None) -> None:
    """Make the directory ``path``, or take the one that is there, for ``account`` alone (mode 0700)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    hand_over(path, account)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)

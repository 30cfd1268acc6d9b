"""The short-lived directory of one run: sockets, and copies of binaries that must be moved to be reached."""

import os
import shutil
import tempfile
from pathlib import Path

from pointsman_service.embedded.accounts import can_reach, nobody_for_root
from pointsman_service.embedded.errors import NoRuntimeDir

_PREFIX = "pointsman-"
_SOCKET_PATH_BYTES = 103
"""Of ``sun_path`` on macOS; Linux has 107."""
_LONGEST_BELOW = "/socket/.s.PGSQL.5432"


def make_runtime_dir() -> Path:
    """A new directory with a path short enough for a Unix socket below it, in TMPDIR or else in /tmp or /var/tmp.

    Made by root it is open to others, as a server that dropped root must get in; what lies in it protects itself.
    Raises CannotDropRoot or NoRuntimeDir.
    """
    account = nobody_for_root()
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - a directory of a name nobody can guess is made inside
        try:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError:
            continue
        fit = False
        try:
            path.chmod(0o700 if account is None else 0o755)
            fit = len(os.fsencode(path)) + len(_LONGEST_BELOW) <= _SOCKET_PATH_BYTES and can_reach(path, account)
        finally:
            if not fit:
                path.rmdir()
        if fit:
            return path
    raise NoRuntimeDir


def remove_runtime_dir(path: Path) -> None:
    """Remove a directory that ``make_runtime_dir`` made, now or in a run that was killed; anything else stays."""
    if path.name.startswith(_PREFIX) and not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.geteuid():
        shutil.rmtree(path, ignore_errors=True)

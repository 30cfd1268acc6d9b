"""The short-lived directory of one run: sockets, and copies of binaries that must be moved to be reached."""

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "pointsman-"
_SOCKET_PATH_BYTES = 103
"""Of ``sun_path`` on macOS; Linux has 107."""
_LONGEST_BELOW = "/socket/.s.PGSQL.5432"


def make_runtime_dir() -> Path:
    """A new directory with a path short enough for a Unix socket below it.

    Others may pass through it, as a server that dropped root must; what lies in it protects itself.
    """
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if len(os.fsencode(path)) + len(_LONGEST_BELOW) <= _SOCKET_PATH_BYTES:
            break
        path.rmdir()
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return path


def remove_runtime_dir(path: Path) -> None:
    """Remove a directory that ``make_runtime_dir`` made, now or in a run that was killed; anything else stays."""
    if path.name.startswith(_PREFIX) and not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.geteuid():
        shutil.rmtree(path, ignore_errors=True)

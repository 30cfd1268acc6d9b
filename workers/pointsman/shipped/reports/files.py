"""Where reports are kept: whole or not at all, and not for ever."""

import os
import re
import tempfile
from pathlib import Path

_SUFFIXES = (".html", ".csv")


def write(path: Path, text: str) -> None:
    """Write or replace a file; whoever reads it sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        # Line ends as given: CSV brings its own.
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp lets only this user read; a report is for others.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def prune(directory: Path, kind: str, kept: int, spared: str) -> int:
    """Delete the oldest reports of a kind, by the period in their names, until ``kept`` are left besides ``spared``.

    Nothing but files named ``<kind>-<period>.html`` and ``.csv`` is looked at. Returns how many reports went.
    """
    pattern = re.compile(re.escape(kind) + r"-(\d{4}[-0-9TW]*(?:-so-far)?)")
    reports = {
        found[1] for path in directory.iterdir() if path.suffix in _SUFFIXES and (found := pattern.fullmatch(path.stem))
    }
    old = sorted(reports - {spared})[:-kept]
    for period in old:
        for suffix in _SUFFIXES:
            (directory / f"{kind}-{period}{suffix}").unlink(missing_ok=True)
    return len(old)

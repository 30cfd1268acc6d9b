"""Deleting old files of a cache, and nothing else.

A directory is a cache when it holds a ``CACHEDIR.TAG`` (https://bford.info/cachedir/): so a wrong setting cannot delete
what somebody needs.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pointsman.errors import PermanentError

TAG = "CACHEDIR.TAG"
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_MOST_ERRORS = 10


class NotACache(PermanentError):
    """The directory is not one that may be cleaned."""


@dataclass
class Cleaned:
    """What was done."""

    files_deleted: int = 0
    bytes_freed: int = 0
    directories_deleted: int = 0
    """Old ones that were empty."""
    kept: int = 0
    """Files that are not old enough."""
    skipped: int = 0
    """Links, sockets, devices, and what lies on another file system."""
    errors: list[str] = field(default_factory=list)
    """What could not be deleted and why, at most ten."""
    complete: bool = True
    """False when the limit was reached before the end."""


def make_cache(root: Path) -> None:
    """Create an empty cache, tagged as one, unless the directory exists."""
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    # Complete before it has its name: another process must not find it without the tag.
    new = Path(tempfile.mkdtemp(prefix=".new-cache-", dir=root.parent))
    (new / TAG).write_bytes(SIGNATURE + b"\n# Created by Pointsman. Everything in here may be deleted.\n")
    try:
        new.rename(root)
    except OSError:
        (new / TAG).unlink()
        new.rmdir()


def clean(root: Path, *, unchanged_since: float, limit: int, dry_run: bool) -> Cleaned:
    """Delete files below ``root`` that have not changed since then (Unix seconds), and old directories left empty.

    At most ``limit`` files. Links are neither followed nor deleted. Raises ``NotACache``.
    """
    _check(root)
    done = Cleaned()
    device = root.stat().st_dev
    for path, names, files, directory in os.fwalk(root, topdown=False, onerror=lambda error: _note(done, error)):
        for name in files:
            if path == str(root) and name == TAG:
                continue
            if done.files_deleted >= limit:
                done.complete = False
                return done
            _delete_file(done, directory, name, device, unchanged_since, dry_run=dry_run)
        for name in names:
            _delete_directory(done, directory, name, device, unchanged_since, dry_run=dry_run)
    return done


def _check(root: Path) -> None:
    if root.is_symlink() or not root.is_dir():
        raise NotACache(f"{root} is not a directory")
    resolved = root.resolve()
    for precious in _precious():
        if precious.is_relative_to(resolved):
            raise NotACache(f"{root} holds {precious} and is no cache")
    try:
        with (root / TAG).open("rb") as tag:
            found = tag.read(len(SIGNATURE))
    except OSError:
        found = b""
    if found != SIGNATURE:
        raise NotACache(f"{root} has no {TAG} that begins with {SIGNATURE.decode()!r}: put one there if it is a cache")


def _precious() -> Iterator[Path]:
    """Nothing that holds one of these is a cache, whatever its tag says."""
    yield Path(__file__).resolve()
    yield Path.cwd()
    yield Path("/etc")
    yield Path("/usr")
    yield Path("/var/lib")
    home = Path.home()
    if home != Path("/"):
        yield home


def _delete_file(
    done: Cleaned, directory: int, name: str, device: int, unchanged_since: float, *, dry_run: bool
) -> None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_dev != device:
            done.skipped += 1
        elif _changed_at(found) > unchanged_since:
            done.kept += 1
        else:
            if not dry_run:
                os.unlink(name, dir_fd=directory)
            done.files_deleted += 1
            done.bytes_freed += found.st_size if found.st_nlink == 1 else 0
    except FileNotFoundError:
        return
    except OSError as error:
        _note(done, error)


def _delete_directory(
    done: Cleaned, directory: int, name: str, device: int, unchanged_since: float, *, dry_run: bool
) -> None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            done.skipped += 1
        elif found.st_dev == device and _changed_at(found) <= unchanged_since and not dry_run:
            os.rmdir(name, dir_fd=directory)
            done.directories_deleted += 1
    except OSError:
        # Not empty, or gone already.
        return


def _changed_at(found: os.stat_result) -> float:
    """A file that was unpacked or moved here is as old as its arrival and not as its content."""
    return max(found.st_mtime, found.st_ctime)


def _note(done: Cleaned, error: OSError) -> None:
    if len(done.errors) < _MOST_ERRORS:
        done.errors.append(f"{error.filename}: {error.strerror}"[:300])

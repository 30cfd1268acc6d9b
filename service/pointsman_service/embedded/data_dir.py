"""The directory that holds everything worth keeping, and belongs to one supervisor at a time."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pointsman_service.embedded import locks
from pointsman_service.embedded.errors import DataDirOwned, DataDirUnusable
from pointsman_service.embedded.runtime_dir import make_runtime_dir, remove_runtime_dir


@contextmanager
def claimed(path: Path) -> Iterator[Callable[[], Path]]:
    """Own the data directory, made if missing, and yield what makes a runtime directory, removed at the end.

    The claim ends with this process, whatever ends it; the runtime directory of a killed owner is removed by the next
    one. Raises DataDirOwned or DataDirUnusable.
    """
    made: list[Path] = []

    def runtime_dir() -> Path:
        made.append(make_runtime_dir())
        _write(descriptor, os.getpid(), *made)
        return made[-1]

    descriptor = _claim(path)
    try:
        for left in os.pread(descriptor, 4096, 0).decode(errors="replace").splitlines()[1:]:
            remove_runtime_dir(Path(left))
        _write(descriptor, os.getpid())
        yield runtime_dir
    finally:
        for directory in made:
            remove_runtime_dir(directory)
        _write(descriptor)
        os.close(descriptor)


def _write(descriptor: int, *lines: object) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, "".join(f"{line}\n" for line in lines).encode(), 0)


def _claim(path: Path) -> int:
    lock = path / "owner.lock"
    try:
        (path / "logs").mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK) or not os.access(path / "logs", os.W_OK | os.X_OK):
            raise DataDirUnusable(path, "it is not writable")
        descriptor = locks.take(lock)
        if descriptor is None:
            raise DataDirOwned(path, (lock.read_text().splitlines() or ["unknown"])[0])
        return descriptor
    except OSError as error:
        raise DataDirUnusable(path, _reason(error)) from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "it, or a part of its path, is a file"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "it is not writable"
    return error.strerror or str(error)

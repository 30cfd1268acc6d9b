"""The directory that holds everything worth keeping, and belongs to one supervisor at a time."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.embedded import locks
from service.embedded.errors import DataDirOwned, DataDirUnusable
from service.embedded.runtime_dir import make_runtime_dir, remove_runtime_dir


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Own the data directory, made if missing, and yield a new runtime directory that is removed at the end.

    The claim ends with this process, whatever ends it; the runtime directory of a killed owner is removed by the next
    one. Raises DataDirOwned or DataDirUnusable.
    """
    descriptor = _claim(path)
    try:
        words = os.pread(descriptor, 4096, 0).decode(errors="replace").splitlines()
        if len(words) > 1:
            remove_runtime_dir(Path(words[1]))
        runtime_dir = make_runtime_dir()
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n{runtime_dir}\n".encode(), 0)
            yield runtime_dir
        finally:
            remove_runtime_dir(runtime_dir)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


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

"""Locks that end with the processes that hold them, whatever ended those (``flock`` on an open file).

Every descendant that inherits the descriptor holds the lock too. So a server's lock is free when the last of its
processes is gone, and not a moment before.
"""

import fcntl
import os
import time
from pathlib import Path


def take(path: Path) -> int | None:
    """The descriptor that holds the lock on ``path``, which is made if missing; None when another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock on ``path`` now."""
    descriptor = take(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def wait_free(path: Path, timeout_seconds: float) -> bool:
    """Wait until nobody holds the lock on ``path``; False after ``timeout_seconds``."""
    deadline = time.monotonic() + timeout_seconds
    while not is_free(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

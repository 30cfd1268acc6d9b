"""How the peers wait: for a condition, with a deadline."""

import time
from collections.abc import Callable

_SECONDS = 20.0


def until(look: Callable[[], bool], what: Callable[[], str]) -> None:
    """Return once ``look`` is true."""
    deadline = time.monotonic() + _SECONDS
    while not look():
        assert time.monotonic() < deadline, f"waited {_SECONDS:g} s for {what()}"
        time.sleep(0.02)

"""Task types that show how the system behaves."""

import time
from typing import Any

from pointsman.app import app
from pointsman.errors import PermanentError


class DeliberateFailure(Exception):
    """The ``fail`` task did what it was asked to."""


class DeliberatePermanentFailure(PermanentError):
    """The ``fail`` task did what it was asked to, for good."""


@app.task(name="noop")
def noop(*args: Any, **kwargs: Any) -> None:
    """Takes any arguments and does nothing."""


@app.task(name="echo")
def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Takes any arguments and returns them."""
    return {"args": list(args), "kwargs": kwargs}


@app.task(name="sleep")
def sleep(seconds: float) -> float:
    """Sleeps for so many seconds and returns them."""
    time.sleep(seconds)
    return seconds


@app.task(name="fail", breaker_ignores=(DeliberateFailure,))
def fail(message: str, permanent: bool = False) -> None:
    """Fails with the message; for good when ``permanent``. No circuit breaker counts it."""
    raise DeliberatePermanentFailure(message) if permanent else DeliberateFailure(message)

"""When a circuit breaker opens and how long it stays open."""

import builtins
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_BUILTIN = sorted(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)


def _names(given: object) -> tuple[str, ...]:
    """One exception or several, each a class or the name of one, as names."""
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return tuple(_name(one) for one in several)


def _name(given: object) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given.__qualname__ if given.__module__ == "builtins" else f"{given.__module__}.{given.__qualname__}"
    if not (isinstance(given, str) and _DOTTED.fullmatch(given)):
        raise ValueError(f"{given!r:.80} is neither an exception class nor the name of one")
    if "." not in given and given not in _BUILTIN:
        close = get_close_matches(given, _BUILTIN, n=1)
        hint = f"did you mean {close[0]}?" if close else "name others with their module: package.module.Class"
        raise ValueError(f"{given} is not an exception of Python itself; {hint}")
    return given


ExceptionNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Names of exception classes: ``ConnectionError``, ``requests.exceptions.Timeout``."""


class BreakerPolicy(BaseModel):
    """What people have as ``CIRCUIT_BREAKER``: validated and shown today.

    No circuit breaker acts on it yet: it says how one shall behave once it is built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure_threshold: int = Field(default=5, ge=1)
    """Failures in a row that open the breaker."""
    recovery_timeout: float = Field(default=60.0, gt=0)
    """Seconds until an open breaker lets a probe through."""
    expected_exception: ExceptionNames = Field(default=("Exception",), min_length=1)
    """The exceptions that count as failures: a class, a dotted name, or a list of them. Kept as names."""
    ignored_exceptions: ExceptionNames = ()
    """Exceptions that count as neither failure nor success, although ``expected_exception`` covers them."""

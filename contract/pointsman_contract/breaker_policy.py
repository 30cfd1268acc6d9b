"""When a circuit breaker opens and how long it stays open."""

import random
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from pointsman_contract.backoff import backoff_seconds

_ALL = {"Exception", "BaseException"}
_MOST_NAMES = 100
_LONGEST_NAME = 200
_IDENTIFIER = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f][^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]*"
"""As Python has it, in the words that every reader of JSON Schema knows: anything beyond ASCII is a letter."""
_BUILTIN = (
    "ArithmeticError", "AssertionError", "AttributeError", "BaseException", "BaseExceptionGroup", "BlockingIOError",
    "BrokenPipeError", "BufferError", "BytesWarning", "ChildProcessError", "ConnectionAbortedError", "ConnectionError",
    "ConnectionRefusedError", "ConnectionResetError", "DeprecationWarning", "EOFError", "EncodingWarning",
    "EnvironmentError", "Exception", "ExceptionGroup", "FileExistsError", "FileNotFoundError", "FloatingPointError",
    "FutureWarning", "GeneratorExit", "IOError", "ImportError", "ImportWarning", "IndentationError", "IndexError",
    "InterruptedError", "IsADirectoryError", "KeyError", "KeyboardInterrupt", "LookupError", "MemoryError",
    "ModuleNotFoundError", "NameError", "NotADirectoryError", "NotImplementedError", "OSError", "OverflowError",
    "PendingDeprecationWarning", "PermissionError", "ProcessLookupError", "PythonFinalizationError", "RecursionError",
    "ReferenceError", "ResourceWarning", "RuntimeError", "RuntimeWarning", "StopAsyncIteration", "StopIteration",
    "SyntaxError", "SyntaxWarning", "SystemError", "SystemExit", "TabError", "TimeoutError", "TypeError",
    "UnboundLocalError", "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "UnicodeTranslateError",
    "UnicodeWarning", "UserWarning", "ValueError", "Warning", "WindowsError", "ZeroDivisionError",
)  # fmt: skip
"""Exceptions of every Python that a worker may run, whichever runs here."""
_SAME = dict.fromkeys(("EnvironmentError", "IOError", "WindowsError"), "OSError")
"""Older names: nothing that is raised has one of them."""
_DOTTED = rf"{_IDENTIFIER}(\.{_IDENTIFIER})*"
_NAME_PATTERN = rf"^({_IDENTIFIER}(\.{_IDENTIFIER})+|{'|'.join(_BUILTIN)})$"


def _names(given: object) -> tuple[str, ...]:
    """One exception or several, each a class or the name of one, as names."""
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return tuple(_name(one) for one in several)


def _name(given: object) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given.__qualname__ if given.__module__ == "builtins" else f"{given.__module__}.{given.__qualname__}"
    if not (isinstance(given, str) and len(given) <= _LONGEST_NAME and re.fullmatch(_DOTTED, given)):
        raise ValueError(f"{given!r:.80} is neither an exception class nor the name of one")
    # As what is raised is named.
    given, its_own = given.removeprefix("builtins."), given.startswith("builtins.")
    if ("." not in given or its_own) and given not in _BUILTIN:
        close = get_close_matches(given, _BUILTIN, n=1)
        hint = f"did you mean {close[0]}?" if close else "name others with their module: package.module.Class"
        raise ValueError(f"{given} is not an exception of Python itself; {hint}")
    return _SAME.get(given, given)


def _names_schema(least: int) -> WithJsonSchema:
    name = {"type": "string", "maxLength": _LONGEST_NAME, "pattern": _NAME_PATTERN}
    several = {"type": "array", "items": name, "minItems": least, "maxItems": _MOST_NAMES}
    return WithJsonSchema({"anyOf": [several, name]})


ExceptionNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Names of exception classes: ``ConnectionError``, ``requests.exceptions.Timeout``."""


def _without(*names: str) -> dict[str, Any]:
    """JSON Schema of what has none of these."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _with(name: str, *missing: str) -> dict[str, Any]:
    """JSON Schema of what has one field and none of those that it needs."""
    return {"required": [name], "properties": {name: {"type": "number"}} | _without(*missing)["properties"]}


_INCONSISTENT: list[Any] = [
    _with("failure_rate", "window_seconds"),
    _with("slow_call_rate", "window_seconds"),
    _with("slow_call_rate", "slow_call_seconds"),
    _with("slow_call_seconds", "slow_call_rate"),
    {"required": ["failure_threshold"]} | _without("failure_threshold", "failure_rate", "slow_call_rate"),
]
"""What ``_rates_have_a_window`` refuses."""


class BreakerPolicy(BaseModel):
    """What people have as ``CIRCUIT_BREAKER``, and more. Raises ``pydantic.ValidationError`` naming every bad key.

    A breaker opens after ``failure_threshold`` failures in a row and, where ``window_seconds`` is set, also by the
    rates of that window.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra={"not": {"anyOf": _INCONSISTENT}}
    )

    failure_threshold: int | None = Field(default=5, ge=1, le=10_000)
    """Failures in a row that open the breaker; of a task type, tasks in a row that make it doubt. null: only the rates
    of the window open it."""
    recovery_timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds until an open breaker lets a probe through, the first time it opens."""
    expected_exception: Annotated[ExceptionNames, _names_schema(1)] = Field(
        default=("Exception",), min_length=1, max_length=_MOST_NAMES
    )
    """The exceptions that count as failures: a class, a dotted name, or a list of them. Kept as names."""
    ignored_exceptions: Annotated[ExceptionNames, _names_schema(0)] = Field(default=(), max_length=_MOST_NAMES)
    """Exceptions that count as neither failure nor success, although ``expected_exception`` covers them."""

    recovery_timeout_max: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds an open breaker waits at most: each trip that follows soon on another doubles the wait up to this."""
    recovery_jitter: float = Field(default=0.1, ge=0, le=1)
    """Share of the wait that is added by chance, so that breakers that opened together do not probe together."""
    half_open_permits: int = Field(default=3, ge=1, le=1000)
    """Probes under way at once while the breaker is half open."""
    half_open_successes: int = Field(default=3, ge=1, le=1000)
    """Probes that must succeed to close it. One that fails opens it again; of a task type, as many as may be under way
    at once."""
    permit_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """A probe that has not reported so long after its permit was leased counts no more. A task's permit lasts while it
    runs."""
    release_per_second: float = Field(default=10.0, gt=0, le=1_000_000)
    """Held tasks that are let go in the first second after it has closed; the rate doubles every five seconds."""

    window_seconds: float | None = Field(default=None, ge=1, le=86_400)
    """Length of the sliding window of the rates below. Unset: only failures in a row count."""
    minimum_calls: int = Field(default=20, ge=1)
    """Calls that the window must hold before a rate means anything."""
    failure_rate: float | None = Field(default=None, gt=0, le=1)
    """Share of failed calls in the window that opens the breaker."""
    slow_call_seconds: float | None = Field(default=None, gt=0)
    """A call that takes longer is slow."""
    slow_call_rate: float | None = Field(default=None, gt=0, le=1)
    """Share of slow calls in the window that opens the breaker."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_numbers(cls, value: object) -> object:
        # Else true is the number 1: a breaker that opens at the first failure.
        if isinstance(value, bool):
            raise ValueError("must not be true or false")  # noqa: TRY004 - pydantic takes no TypeError
        # 5.0 is an integer where it came from.
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.recovery_timeout_max < self.recovery_timeout:
            # Who asks only for a long wait means a constant one.
            return self.model_copy(update={"recovery_timeout_max": self.recovery_timeout})
        return self

    @model_validator(mode="after")
    def _rates_have_a_window(self) -> Self:
        if (self.failure_rate is not None or self.slow_call_rate is not None) and self.window_seconds is None:
            raise ValueError("failure_rate and slow_call_rate need window_seconds")
        if self.failure_threshold is None and self.failure_rate is None and self.slow_call_rate is None:
            raise ValueError("without failure_threshold it needs failure_rate or slow_call_rate, or it never opens")
        if (self.slow_call_rate is None) != (self.slow_call_seconds is None):
            raise ValueError("slow_call_rate and slow_call_seconds go together")
        return self

    def counts(self, names: Sequence[str]) -> bool:
        """Whether an exception is a failure, by the names of its class and of the classes it derives from.

        Whoever knows one name alone gives that.
        """
        if any(name in self.ignored_exceptions for name in names):
            return False
        return bool(_ALL & set(self.expected_exception)) or any(name in self.expected_exception for name in names)

    def wait_seconds(self, trips: int, draw: Callable[[], float] = random.random) -> float:
        """How long the breaker stays open after its ``trips``-th trip in a row (from 1).

        ``draw`` gives a number from 0 to below 1.
        """
        longest = backoff_seconds(trips, base=self.recovery_timeout, cap=self.recovery_timeout_max)
        return longest * (1 + self.recovery_jitter * draw())

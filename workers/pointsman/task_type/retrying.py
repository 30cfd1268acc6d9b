"""The retry rules of one task: Celery's own options, as a managed run follows them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self, cast

from celery.exceptions import MaxRetriesExceededError, Retry, TaskPredicate
from celery.utils.serialization import raise_with_context
from celery.utils.time import maybe_make_aware
from pydantic import ValidationError

from pointsman.errors import OptionNotHonoured, PermanentError
from pointsman.settings import settings
from pointsman_contract.message import ManagedHeader
from pointsman_contract.retry import MAX_ATTEMPTS, RetryPolicy
from pointsman_contract.validation import first_fault

_RETRY_KWARGS = frozenset({"max_retries", "countdown"})
_LONGEST_BACKOFF_SECONDS = 600
"""Celery's default of ``retry_backoff_max``."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """When an attempt that failed is followed by another, and how long after.

    Without ``autoretry_for`` every exception but ``PermanentError`` and ``dont_autoretry_for`` is; with it only those
    named. The delay of automatic retries follows ``retry_backoff`` or ``default_retry_delay``, whichever was said
    nearer to the task, else the worker's default policy.
    """

    policy: RetryPolicy
    """Of automatic retries. Its ``max_retries`` is the task's."""
    bare: RetryPolicy
    """Of ``self.retry()`` without countdown and eta."""
    only: tuple[type[BaseException], ...]
    """``autoretry_for``; empty stands for every exception."""
    never: tuple[type[BaseException], ...]
    """``dont_autoretry_for``."""

    @classmethod
    def of(cls, task: Any, default: RetryPolicy) -> "RetryRules":
        """Read from the options of a task and of its bases. Raises ``OptionNotHonoured``."""
        given = _Given(task)
        arguments = given.value("retry_kwargs", {})
        if not isinstance(arguments, Mapping):
            raise OptionNotHonoured(f"retry_kwargs must be a dictionary, not {arguments!r}"[:300])
        unknown = sorted(map(str, set(arguments) - _RETRY_KWARGS))
        if unknown:
            raise OptionNotHonoured(f"retry_kwargs can hold max_retries and countdown, not {', '.join(unknown)}")
        most = arguments.get("max_retries", given.value("max_retries", default.max_retries))
        if most is None:
            raise OptionNotHonoured("max_retries=None would retry for ever: give a number")
        try:
            # Through the model again: a copy would not be checked.
            fallback = RetryPolicy.model_validate(default.model_dump() | {"max_retries": most})
            backoff = _backoff(given, most)
            fixed = _fixed(given, most)
            if "countdown" in arguments and backoff is None:
                policy = RetryPolicy.fixed(most, arguments["countdown"])
            elif backoff is not None and given.is_nearer("retry_backoff", "default_retry_delay"):
                policy = backoff
            else:
                policy = fixed or backoff or fallback
            return cls(policy, fixed or backoff or fallback, given.classes("autoretry_for"), given.never())
        except ValidationError as error:
            raise OptionNotHonoured(
                f"its retry options do not make a policy: {first_fault(error, 'retry options')}"
            ) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise OptionNotHonoured(f"its retry options cannot be read: {error}") from None

    def may_retry(self, error: BaseException) -> bool:
        """Whether another attempt may do better after this one raised ``error``."""
        if isinstance(error, (PermanentError, TaskPredicate, *self.never)):
            return False
        return not self.only or isinstance(error, self.only)

    def follows(self, kind: type[BaseException]) -> bool:
        """``may_retry`` for an attempt that could not raise its error itself, being dead."""
        return not issubclass(kind, self.never) and (not self.only or issubclass(kind, self.only))


def rules_of(task: Any) -> RetryRules:
    """The rules of a task, found once. Raises ``OptionNotHonoured``."""
    found: RetryRules | None = vars(task).get(_FOUND)
    if found is None:
        found = RetryRules.of(task, settings().retry_policy)
        setattr(task, _FOUND, found)
    return found


_FOUND = "_pointsman_retry_rules"
"""On the task itself, under a name that no task has for its own."""


class _Given:
    """What a task and its bases say themselves, and Celery's defaults do not."""

    def __init__(self, task: Any) -> None:
        bases = type(task).__mro__
        library = next(number for number, base in enumerate(bases) if base.__module__ == "pointsman.base")
        self._bases = [vars(base) for base in bases[:library]]
        # An option may also be set on the task itself, after it was made.
        self._bases.insert(0, vars(task))

    def value(self, name: str, default: Any) -> Any:
        return next((base[name] for base in self._bases if name in base), default)

    def distance(self, name: str) -> int:
        return next((number for number, base in enumerate(self._bases) if name in base), len(self._bases))

    def is_nearer(self, one: str, other: str) -> bool:
        return self.distance(one) <= self.distance(other)

    def classes(self, name: str) -> tuple[type[BaseException], ...]:
        found = self.value(name, ())
        listed = tuple(found) if isinstance(found, (list, tuple, set, frozenset)) else (found,)
        if not all(isinstance(one, type) and issubclass(one, BaseException) for one in listed):
            raise OptionNotHonoured(f"{name} must list exception classes, not {listed!r}"[:300])
        return listed

    def never(self) -> tuple[type[BaseException], ...]:
        return self.classes("dont_autoretry_for")


def _backoff(given: _Given, most: int) -> RetryPolicy | None:
    """Celery's exponential backoff (``celery.utils.time.get_exponential_backoff_interval``) as a policy."""
    factor = given.value("retry_backoff", False)
    if not factor:
        return None
    longest = given.value("retry_backoff_max", _LONGEST_BACKOFF_SECONDS)
    step = min(int(max(1.0, float(factor))), longest)
    return RetryPolicy(
        max_retries=most,
        interval_start=0,
        interval_step=step,
        interval_max=longest,
        jitter=bool(given.value("retry_jitter", True)),
    )


def _fixed(given: _Given, most: int) -> RetryPolicy | None:
    seconds = given.value("default_retry_delay", None)
    return None if seconds is None else RetryPolicy.fixed(most, seconds)


@dataclass(slots=True)
class AttemptRetries:
    """What one attempt may still ask for."""

    rules: RetryRules
    attempt: int
    """Its number, interrupted ones not counted."""
    max_attempts: int
    """The task's budget."""
    asked: Retry | None = None
    """What ``self.retry()`` made, raised or not."""
    asked_max_attempts: int | None = None
    """The budget that call named."""
    asked_because: BaseException | None = None
    """The exception it was given."""
    is_spent: bool = False
    """Whether that call found its budget spent."""

    @classmethod
    def of(cls, rules: RetryRules, header: ManagedHeader, attempt: int) -> Self:
        """The retries of one attempt of a message. What ended with its worker was no try of the task's own."""
        interruptions = header.get("interruptions", 0)
        last = header.get("max_attempts", rules.policy.max_attempts)
        return cls(rules, attempt - interruptions, last - interruptions)

    def ask(self, exc: Any, eta: Any, countdown: Any, max_retries: int | None) -> Retry:
        """The ``Retry`` that ends the attempt; a countdown wins over an eta. When the budget is spent it raises
        ``exc``, else ``MaxRetriesExceededError``, as Celery does.

        Raises ``TypeError`` for a countdown that is no number and an eta that is no datetime.
        """
        if isinstance(exc, type) and issubclass(exc, BaseException):
            exc = exc()
        if max_retries is not None:
            self.asked_max_attempts = int(min(max(max_retries + 1, 1), MAX_ATTEMPTS))
        if self.is_last:
            self.is_spent = True
            if isinstance(exc, BaseException):
                raise_with_context(cast(Exception, exc))
            raise MaxRetriesExceededError(f"attempt {self.attempt} was the last one")
        if eta is not None and not countdown:
            seconds = _seconds_until(eta)
        else:
            seconds = self.rules.bare.delay(self.attempt) if countdown is None else _seconds(countdown)
        self.asked_because = exc if isinstance(exc, BaseException) else None
        self.asked = Retry(exc=exc, when=cast(Any, seconds))
        return self.asked

    def seconds_after(self, error: BaseException) -> float | None:
        """Seconds from now to the next attempt after this one raised ``error``; None for none, whatever the budget."""
        if self.is_spent:
            return None
        if isinstance(error, Retry):
            try:
                return _seconds(error.when)
            except TypeError:
                # One of the body's own making may hold anything.
                return self.rules.bare.delay(self.attempt)
        return self.rules.policy.delay(self.attempt) if self.rules.may_retry(error) else None

    @property
    def is_last(self) -> bool:
        """Whether the budget ends with this attempt."""
        budget = self.max_attempts if self.asked_max_attempts is None else self.asked_max_attempts
        return self.attempt >= budget


def _seconds(countdown: Any) -> float:
    if isinstance(countdown, timedelta):
        countdown = countdown.total_seconds()
    if isinstance(countdown, bool) or not isinstance(countdown, (int, float, Decimal)):
        raise TypeError(f"countdown must be a number of seconds, not {countdown!r}"[:200])
    seconds = float(countdown)
    if not math.isfinite(seconds):
        raise TypeError(f"countdown must be a finite number of seconds, not {countdown!r}")
    return max(0.0, seconds)


def _seconds_until(eta: Any) -> float:
    """To a moment; one without an offset is UTC. Never negative."""
    if not isinstance(eta, datetime):
        raise TypeError(f"eta must be a datetime, not {eta!r}"[:200])
    return max(0.0, float((maybe_make_aware(eta) - datetime.now(UTC)).total_seconds()))

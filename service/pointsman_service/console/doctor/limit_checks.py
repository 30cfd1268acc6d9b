"""Time limits of tasks beside those of what carries them. Pure."""

from collections.abc import Iterable, Iterator

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.console.doctor.finding import Finding, Unknown, ok, unknown, warning
from pointsman_service.console.doctor.redis_facts import RedisFacts
from pointsman_service.console.doctor.service_facts import ServiceFacts
from pointsman_service.observe.spans import span
from pointsman_service.settings import Settings

_CHECK = "time_limits"
_NAMED = 5
_LONG_SECONDS = 6 * 3600.0
_GRACE_SECONDS = 10.0
"""The default grace: time limits below it are meant to be short."""


def time_limits(facts: ServiceFacts | Unknown, redis: RedisFacts | Unknown, settings: Settings) -> list[Finding]:
    """Of the task types as they were last published."""
    if isinstance(facts, Unknown):
        return [unknown(_CHECK, facts)]
    visibility = None if isinstance(redis, Unknown) else redis.visibility_timeout_seconds
    found = [
        *_given_back(facts.task_types, visibility),
        *_long(facts.task_types),
        *_graceless(facts.task_types, settings),
    ]
    if found:
        return found
    longest = max((spec.time_limit_seconds for spec in facts.task_types), default=None)
    if longest is None:
        return [ok(_CHECK, "there are no task types yet")]
    beside = "" if visibility is None else f"; messages are given back after {span(visibility)}"
    return [ok(_CHECK, f"the longest is {span(longest)}{beside}")]


def _given_back(specs: Iterable[TaskTypeSpec], visibility: int | None) -> Iterator[Finding]:
    if visibility is None:
        return
    late = [spec for spec in specs if spec.time_limit_seconds >= visibility]
    if late:
        yield warning(
            _CHECK,
            f"{_names(late)} may run for longer than the visibility timeout ({span(visibility)}): their messages are"
            " given back while they run, and plain Celery runs them a second time",
            "Raise POINTSMAN_VISIBILITY_TIMEOUT_SECONDS of all workers above the longest time limit.",
        )


def _long(specs: Iterable[TaskTypeSpec]) -> Iterator[Finding]:
    long = [spec for spec in specs if spec.time_limit_seconds > _LONG_SECONDS]
    if long:
        yield warning(
            _CHECK,
            f"{_names(long)} may run for over {span(_LONG_SECONDS)}: one that hangs holds its process for so long",
            "Give them a time limit near what they take.",
        )


def _graceless(specs: Iterable[TaskTypeSpec], settings: Settings) -> Iterator[Finding]:
    """A grace that is longer than the limit kills nobody earlier."""
    graceless = [spec for spec in specs if spec.time_limit_seconds <= settings.cancel_grace_seconds]
    if graceless and settings.cancel_grace_seconds > _GRACE_SECONDS:
        yield warning(
            _CHECK,
            f"cancel_grace_seconds ({settings.cancel_grace_seconds:g}) is not below the time limit of"
            f" {_names(graceless)}: cancelled, they run to their end",
            "Lower cancel_grace_seconds.",
        )


def _names(specs: Iterable[TaskTypeSpec]) -> str:
    listed = sorted(f"{spec.name} ({span(spec.time_limit_seconds)})" for spec in specs)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")

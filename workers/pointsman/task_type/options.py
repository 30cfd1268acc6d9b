"""The options of a task: Celery's names mean what they say, and what cannot be honoured is refused at start."""

import difflib
from typing import Any

from celery import Task
from celery.utils.time import rate

from pointsman.errors import OptionNotHonoured
from pointsman.task_type.arguments import arguments_of
from pointsman.task_type.dependencies import declared_by
from pointsman.task_type.retrying import RetryRules
from pointsman_contract.catalogue import address_fault
from pointsman_contract.dependencies import MOST
from pointsman_contract.queues import MAX_PRIORITY, Topology
from pointsman_contract.retry import RetryPolicy

_OF_THE_DECORATOR = frozenset(
    {
        "name", "bind", "base", "typing", "shared", "lazy", "filter", "queue", "priority", "managed",
        "pydantic", "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs",
        "autoretry_for", "dont_autoretry_for", "retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter",
    }
)  # fmt: skip

_LONGEST_LIMIT_SECONDS = 1e9
"""Beyond it nothing would ever be ended: ``float("inf")`` is no limit."""

PLAIN_ONLY = "say managed=False: then only plain Celery can call it"

_INSTEAD = {
    "expires": f"give expires_at with each submission, or {PLAIN_ONLY}",
    "exchange": "name a queue",
    "routing_key": "name a queue",
    "compression": "messages are plain JSON",
    "delivery_mode": "messages are always durable",
    "immediate": "brokers have no such thing any more",
    "mandatory": "the control plane finds what the broker lost",
}

_OURS = {"Request": "pointsman.parent.request:PointsmanRequest", "Strategy": Task.Strategy}
"""What stands between the broker and a worker process; Celery lets a task name another."""


_NO_OPTIONS = {"max_attempts": "max_retries says how many attempts may follow the first"}


def is_plain_only(task: Any) -> bool:
    """Whether a task, or a base, says ``managed=False``: the control plane does not know it."""
    return getattr(task, "managed", None) is False


def unknown_options(base: type, options: dict[str, Any]) -> list[str]:
    """What to say of options that neither Celery nor the task's base knows: a typo would be silently without effect."""
    if is_plain_only(base) or options.get("managed") is False:
        # As in Celery, what it does not know is an attribute of the task.
        return []
    faults = []
    for option in options:
        if option in _NO_OPTIONS and not _is_own(base, option):
            faults.append(f"there is no option {option}: {_NO_OPTIONS[option]}")
            continue
        if option in _OF_THE_DECORATOR or option in _INSTEAD or hasattr(Task, option):
            continue
        if hasattr(base, option) and _is_own(base, option):
            continue
        known = [*_OF_THE_DECORATOR, *(word for word in dir(Task) if not word.startswith("_"))]
        close = difflib.get_close_matches(option, known, n=1)
        advice = f", did you mean {close[0]}?" if close else ""
        faults.append(f"there is no option {option}{advice}")
    return faults


def _is_own(base: type, option: str) -> bool:
    """Whether an attribute of a base is a value that a task may set, and none that this library computes or calls."""
    home = next((kind for kind in base.__mro__ if option in vars(kind)), None)
    if home is None:
        return False
    return not home.__module__.startswith("pointsman.") or not hasattr(vars(home)[option], "__get__")


def check_plain(task: Any) -> None:
    """Raises ``OptionNotHonoured`` for what Celery itself could not read."""
    for fault in getattr(task, "option_faults", ()):
        raise OptionNotHonoured(fault)


def check(task: Any, topology: Topology, default: RetryPolicy) -> RetryRules:
    """The retry rules of a task whose options can all be honoured. Raises ``OptionNotHonoured`` naming one that
    cannot.
    """
    check_plain(task)
    fault = address_fault(task.name)
    if fault is not None:
        raise OptionNotHonoured(fault)
    for option, instead in _INSTEAD.items():
        if getattr(task, option, None) is not None:
            raise OptionNotHonoured(f"{option} cannot be honoured: {instead}")
    for option, ours in _OURS.items():
        given = getattr(task, option)
        if given != ours:
            raise OptionNotHonoured(f"{option} cannot be honoured: messages would pass by what counts their attempts")
    if getattr(task, "serializer", None) not in (None, "json"):
        raise OptionNotHonoured(f"serializer {task.serializer!r} cannot be honoured: arguments and results are JSON")
    queue = getattr(task, "queue", None)
    if queue is not None and topology.queue(queue) is None:
        raise OptionNotHonoured(f"it asks for the queue {queue}, which is not one of the configured queues")
    _check_priority(getattr(task, "priority", None))
    if not task.time_limit:
        raise OptionNotHonoured("it has no time limit: a hanging run would never end")
    check_limit("time_limit", task.time_limit)
    check_limit("soft_time_limit", task.soft_time_limit or 0)
    if task.soft_time_limit and task.soft_time_limit >= task.time_limit:
        raise OptionNotHonoured(f"its soft time limit must be below its time limit of {task.time_limit} s")
    check_rate(task.rate_limit)
    _check_breakers(task)
    return RetryRules.of(task, default)


def _check_breakers(task: Any) -> None:
    if isinstance(task.dependencies, str):
        raise OptionNotHonoured(f"dependencies must be a list of names, not {task.dependencies!r}"[:300])
    try:
        names = declared_by(task)
    except (TypeError, ValueError) as error:
        raise OptionNotHonoured(f"its dependencies cannot be used: {error}") from None
    if len(names) > MOST:
        raise OptionNotHonoured(f"it has {len(names)} dependencies, {MOST} are allowed")
    argument = task.url_argument
    arguments = arguments_of(task)
    if argument is not None and argument not in arguments.schema["properties"] and not arguments.takes_anything:
        raise OptionNotHonoured(f"url_argument names {argument!r}, which is not one of its arguments"[:300])
    if not isinstance(task.fail_fast, bool):
        raise OptionNotHonoured(f"fail_fast must be True or False, not {task.fail_fast!r}"[:300])
    if not isinstance(task.keep_logs, bool):
        raise OptionNotHonoured(f"keep_logs must be True or False, not {task.keep_logs!r}"[:300])
    kinds = task.breaker_ignores
    if not isinstance(kinds, tuple) or not all(
        isinstance(one, type) and issubclass(one, BaseException) for one in kinds
    ):
        raise OptionNotHonoured(f"breaker_ignores must be a tuple of exception classes, not {kinds!r}"[:300])


def _check_priority(priority: Any) -> None:
    if priority is None:
        return
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= MAX_PRIORITY:
        raise OptionNotHonoured(f"priority {priority!r} is not a whole number from 0 to {MAX_PRIORITY}")


def check_limit(name: str, seconds: Any) -> None:
    """Raises ``OptionNotHonoured`` for a limit that Celery would take and could not keep; 0 is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_LIMIT_SECONDS:
        raise OptionNotHonoured(f"{name} {seconds!r} is not a number of seconds")


def check_rate(limit: Any) -> None:
    """Raises ``OptionNotHonoured`` for what is no rate; None and 0 are none."""
    try:
        if limit is not None and not rate(limit) >= 0:
            raise ValueError(limit)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise OptionNotHonoured(f"rate_limit {limit!r} is not a number, or a number with /s, /m or /h") from None

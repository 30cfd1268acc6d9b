"""The rules about the control plane itself and its broker, pure."""

from collections.abc import Collection, Iterable, Mapping

from pointsman_service.alert.conditions import Condition, Limits, reaches, span
from pointsman_service.alert.facts import Facts
from pointsman_service.alert.kinds import Rule

_WHY_SHOWN = 200
_STALE = "Until then task states, counters and what breakers counted are shown as they were then."
_ROLES: Mapping[str, tuple[Rule, str]] = {
    "recorder": (
        Rule.NO_RECORDER,
        (
            "No recorder runs: tasks start and end, and nothing of it is written down. Until one runs task states,"
            " counters and what breakers counted are shown as they were then."
        ),
    ),
    "dispatcher": (
        Rule.NO_DISPATCHER,
        "No dispatcher runs: tasks that wait in PostgreSQL are not sent, and new ones only while their queue has room.",
    ),
    "reconciler": (
        Rule.NO_RECONCILER,
        (
            "No reconciler runs: tasks that are due later or failed once do not start, and what fell out of the line is"
            " not put back."
        ),
    ),
}
ROLE_RULES = tuple(rule for rule, _ in _ROLES.values())


def roles(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Roles of the control plane that nobody has."""
    if facts.unled is None:
        return None
    return [
        Condition(
            rule,
            "",
            summary,
            "/readyz?verbose",
            since=facts.now - unled,
            value=round(unled),
            limit=limits.role_missing_seconds,
            unit="s",
            certain=unled >= limits.role_missing_seconds,
        )
        for role, (rule, summary) in _ROLES.items()
        if (unled := facts.unled.get(role, 0.0)) > 0
    ]


def recorder(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    """Reports of workers that are written down late."""
    lag = facts.recorder_lag_seconds
    if lag is None:
        return None
    summary = f"What workers report is written down {span(lag)} late. {_STALE}"
    found = Condition(
        Rule.RECORDER_BEHIND,
        "",
        summary,
        "/readyz?verbose",
        since=facts.now - lag,
        value=round(lag, 1),
        limit=limits.recorder_lag_seconds,
        unit="s",
    )
    return [found] if reaches(found, open_keys) else []


def stream(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    """Reports of workers that pile up."""
    if facts.stream_entries is None:
        return None
    found = Condition(
        Rule.STREAM_LONG,
        "",
        f"{facts.stream_entries:,} reports of workers are not written down yet. {_STALE}",
        "/readyz?verbose",
        value=facts.stream_entries,
        limit=limits.stream_entries,
        unit="events",
    )
    return [found] if reaches(found, open_keys) else []


def _why(last: str) -> str:
    return f" The last: {last[:_WHY_SHOWN]}." if last else ""


def left_out(facts: Facts) -> Iterable[Condition] | None:
    """Entries of the event stream that were none."""
    if facts.left_out is None:
        return None
    if not facts.left_out:
        return []
    return [
        Condition(
            Rule.EVENTS_LEFT_OUT,
            "",
            "Entries of the event stream were left out: they are not what a worker reports, and changed nothing."
            + _why(facts.left_out_last),
            "/metrics",
            value=facts.left_out,
            unit="events",
        )
    ]


def set_aside(facts: Facts) -> Iterable[Condition] | None:
    """Messages that nobody could run."""
    if facts.set_aside is None:
        return None
    return [
        Condition(
            Rule.MESSAGES_SET_ASIDE,
            queue,
            f"Messages on queue {queue} were set aside: {messages:,} that no worker can run."
            + _why(facts.set_aside_last.get(queue, "")),
            "/v1/set-aside-messages",
            value=messages,
            unit="messages",
        )
        for queue, messages in facts.set_aside.items()
        if messages
    ]


def full(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Redis is so full that nothing is sent."""
    if facts.memory_percent is None:
        return None
    if facts.memory_percent < limits.full_percent:
        return []
    return [
        Condition(
            Rule.BROKER_FULL,
            "",
            f"Redis is full, {facts.memory_percent} % of its memory is used: nothing is sent, and from"
            " gate_memory_percent on, 85 % by default, workers start nothing. What is submitted is accepted and waits.",
            "/readyz?verbose",
            value=facts.memory_percent,
            limit=limits.full_percent,
            unit="%",
        )
    ]


def memory(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    """Redis fills up."""
    if facts.memory_percent is None:
        return None
    found = Condition(
        Rule.BROKER_MEMORY,
        "",
        f"The broker uses {facts.memory_percent} % of its memory; from {limits.full_percent} % on nothing is sent.",
        "/readyz?verbose",
        value=facts.memory_percent,
        limit=limits.memory_percent,
        unit="%",
    )
    return [found] if reaches(found, open_keys) else []


def broken_keys(facts: Facts) -> Iterable[Condition] | None:
    """Keys of Celery's that are of another type."""
    if facts.broken_keys is None:
        return None
    return [
        Condition(
            Rule.BROKER_KEY,
            key,
            f"The key {key!r} of the broker is of another type than Celery's: what it is for stands still.",
            "/readyz?verbose",
        )
        for key in facts.broken_keys
    ]


def broker(facts: Facts) -> Iterable[Condition] | None:
    """Redis is away."""
    if facts.broker_up is None:
        return None
    if facts.broker_up:
        return []
    why = f" ({facts.broker_reason})" if facts.broker_reason else ""
    summary = f"The broker does not answer{why}: tasks are accepted and wait, and nothing starts."
    return [
        Condition(Rule.BROKER_AWAY, "", f"{summary} Workers and lag are shown as they were then.", "/readyz?verbose")
    ]

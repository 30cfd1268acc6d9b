"""The rules about the control plane itself and its broker, pure."""

from collections.abc import Collection, Iterable, Mapping

from pointsman_service.alert.conditions import Condition, Limits, reaches
from pointsman_service.alert.facts import Facts
from pointsman_service.alert.kinds import Rule
from pointsman_service.observe.explain import sentences

_WHY_SHOWN = 200
_ROLES: Mapping[str, Rule] = {
    "recorder": Rule.NO_RECORDER,
    "dispatcher": Rule.NO_DISPATCHER,
    "reconciler": Rule.NO_RECONCILER,
}
ROLE_RULES = tuple(_ROLES.values())


def roles(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Roles of the control plane that nobody has."""
    if facts.unled is None:
        return None
    return [
        Condition(
            rule,
            "",
            sentences.no_role(role),
            "/readyz?verbose",
            since=facts.now - unled,
            value=round(unled),
            limit=limits.role_missing_seconds,
            unit="s",
            certain=unled >= limits.role_missing_seconds,
        )
        for role, rule in _ROLES.items()
        if (unled := facts.unled.get(role, 0.0)) > 0
    ]


def recorder(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    """Reports of workers that are written down late."""
    lag = facts.recorder_lag_seconds
    if lag is None:
        return None
    found = Condition(
        Rule.RECORDER_BEHIND,
        "",
        sentences.recorder_behind(lag),
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
        f"{facts.stream_entries:,} reports of workers are not written down yet. {sentences.STALE}",
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
            sentences.broker_full(facts.memory_percent),
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
            sentences.broker_key(key),
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
    summary = f"{sentences.broker_away(facts.broker_reason)} Workers and lag are shown as they were then."
    return [Condition(Rule.BROKER_AWAY, "", summary, "/readyz?verbose")]

"""From facts to conditions, pure: what is wrong now. Who opens and resolves alerts by it is
``pointsman_service.alert.sweep``.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from pointsman_service.alert.conditions import Condition, Limits, reaches, span
from pointsman_service.alert.facts import Facts, LostWorker, TrippedBreaker
from pointsman_service.alert.grouping import grouped
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.alert.queue_rules import backlogs, burns, dispatcher, unknown_type, without_worker

_WHY_SHOWN = 200
_STALE = "Until then task states, counters and what breakers counted are shown as they were then."


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, and of which rules nothing can be said: their alerts stay as they are."""

    conditions: tuple[Condition, ...]
    unknown: frozenset[Rule]


def judge(facts: Facts, limits: Limits, open_keys: Collection[str] = ()) -> Judgement:
    """Every condition. Of causes in ``open_keys`` there is an alert already: they are judged by an easier limit."""
    judged: list[tuple[tuple[Rule, ...], Iterable[Condition] | None]] = [
        ((Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG), _breakers(facts, limits, open_keys)),
        ((Rule.SLA_FAST_BURN, Rule.SLA_SLOW_BURN), burns(facts, limits)),
        ((Rule.BACKLOG_OLD,), backlogs(facts)),
        ((Rule.NO_WORKER,), without_worker(facts)),
        ((Rule.UNKNOWN_TASK_TYPE,), _unknown_types(facts, open_keys)),
        ((Rule.WORKER_LOST,), _lost(facts.lost_workers, open_keys)),
        ((Rule.DEAD_LETTERS,), _dead_letters(facts, limits, open_keys)),
        ((Rule.RECORDER_BEHIND,), _recorder(facts, limits, open_keys)),
        ((Rule.DISPATCHER_BEHIND,), dispatcher(facts, limits)),
        ((Rule.STREAM_LONG,), _stream(facts, limits, open_keys)),
        ((Rule.EVENTS_LEFT_OUT,), _left_out(facts)),
        ((Rule.MESSAGES_SET_ASIDE,), _set_aside(facts)),
        ((Rule.BROKER_MEMORY,), _memory(facts, limits, open_keys)),
        ((Rule.BROKER_KEY,), _broken_keys(facts)),
        ((Rule.BROKER_AWAY,), _broker(facts)),
    ]
    # The database that these facts come from answers.
    unknown = {rule for rules, found in judged if found is None for rule in rules} | {Rule.DATABASE_AWAY}
    if not facts.breakers_complete:
        unknown |= {Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG}
    return Judgement(tuple(one for _, found in judged if found is not None for one in found), frozenset(unknown))


def _breakers(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.breakers is None:
        return None
    found = [one for breaker in facts.breakers for one in _breaker(breaker, facts.now, limits.breaker_open_seconds)]
    return [
        condition
        for rule, what in (
            (Rule.BREAKER_OPEN, "circuit breakers are open"),
            (Rule.BREAKER_OPEN_LONG, f"circuit breakers have not closed for {span(limits.breaker_open_seconds)}"),
        )
        for condition in grouped(
            rule,
            [one for one in found if one.rule is rule],
            open_keys,
            what,
            "/v1/breakers",
            complete=facts.breakers_complete,
        )
    ]


def _breaker(breaker: TrippedBreaker, now: float, longest: float) -> Iterator[Condition]:
    subject = f"{breaker.scope}:{breaker.name}"
    link = f"/v1/breakers/{breaker.scope}/{quote(breaker.name, safe='')}"
    held = now - breaker.since
    by_hand = " by hand" if breaker.seen == "forced_open" else ""
    means = "it gets no tasks" if breaker.scope == "worker" else "its calls are held"
    error = "" if breaker.last_error is None or by_hand else f" Last error: {breaker.last_error}"
    yield Condition(
        Rule.BREAKER_OPEN,
        subject,
        f"The circuit breaker of {breaker.scope} {breaker.name} is open{by_hand}: {means}.{error}",
        link,
        since=breaker.since,
    )
    if held >= longest:
        yield Condition(
            Rule.BREAKER_OPEN_LONG,
            subject,
            f"The circuit breaker of {breaker.scope} {breaker.name} has not closed for {span(held)}.{error}",
            link,
            since=breaker.since,
            value=round(held),
            limit=longest,
            unit="s",
            severity=Severity.TICKET if by_hand else None,
        )


def _unknown_types(facts: Facts, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.unknown_types is None:
        return None
    found = [unknown_type(one) for one in facts.unknown_types]
    what = "task types are known to no living worker of their queue"
    return grouped(Rule.UNKNOWN_TASK_TYPE, found, open_keys, what, "/v1/tasks?state=held")


def _lost(workers: tuple[LostWorker, ...] | None, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if workers is None:
        return None
    found = [
        Condition(
            Rule.WORKER_LOST,
            worker.name,
            f"The worker {worker.name} fell silent without saying good-bye. What it ran is sent again.",
            "/v1/workers",
        )
        for worker in workers
    ]
    return grouped(Rule.WORKER_LOST, found, open_keys, "workers fell silent without saying good-bye", "/v1/workers")


def _dead_letters(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.failed is None:
        return None
    found = [
        Condition(
            Rule.DEAD_LETTERS,
            task_type,
            f"{failed} tasks of type {task_type} failed for good within a quarter of an hour."
            + _newest(facts.failures.get(task_type)),
            f"/v1/dead-letters?task_type={quote(task_type, safe='')}",
            value=failed,
            limit=limits.dead_letters,
            unit="tasks",
        )
        for task_type, failed in sorted(facts.failed.items())
    ]
    many = [one for one in found if reaches(one, open_keys)]
    what = "task types have many tasks that failed for good within a quarter of an hour"
    return grouped(Rule.DEAD_LETTERS, many, open_keys, what, "/v1/dead-letters")


def _newest(failure: str | None) -> str:
    return "" if failure is None else f" The newest: {failure}."


def _recorder(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.leaders is None or not facts.broker_up:
        # Its loop pauses longer than a lead lasts while it cannot reach the broker.
        return None
    if facts.leaders.get("recorder", 0.0) <= 0:
        summary = f"No recorder runs: what workers report is not written down. {_STALE}"
        return [Condition(Rule.RECORDER_BEHIND, "", summary, "/readyz?verbose")]
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


def _stream(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
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


def _left_out(facts: Facts) -> Iterable[Condition] | None:
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


def _set_aside(facts: Facts) -> Iterable[Condition] | None:
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


def _memory(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.memory_percent is None:
        return None
    found = Condition(
        Rule.BROKER_MEMORY,
        "",
        f"The broker uses {facts.memory_percent} % of its memory.",
        "/readyz?verbose",
        value=facts.memory_percent,
        limit=limits.memory_percent,
        unit="%",
    )
    return [found] if reaches(found, open_keys) else []


def _broken_keys(facts: Facts) -> Iterable[Condition] | None:
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


def _broker(facts: Facts) -> Iterable[Condition] | None:
    if facts.broker_up is None:
        return None
    if facts.broker_up:
        return []
    why = f" ({facts.broker_reason})" if facts.broker_reason else ""
    summary = f"The broker does not answer{why}: tasks are accepted and wait, and nothing starts."
    return [
        Condition(Rule.BROKER_AWAY, "", f"{summary} Workers and lag are shown as they were then.", "/readyz?verbose")
    ]

"""The rules about queues, pure."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from pointsman_service.alert.conditions import Condition, Limits
from pointsman_service.alert.facts import Facts, QueueFacts, Starts, UnknownType
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.spans import span

FAST_BURN = 14.4
"""Times the error budget's even rate: at this one a month's budget lasts two days. The windows and both factors are
those of Google's SRE workbook, chapter 5 (multiwindow, multi-burn-rate alerts)."""
SLOW_BURN = 6.0
_FEWEST_STARTS = 10
"""Below that a share says nothing."""
_CATCH_UP_SECONDS = 60.0
"""So long after a pause a queue works off what waited."""
_SUSPICIOUS_SECONDS = 5.0
"""A worker that was not seen for so long, twice what lies between two beats, may be gone."""


def burns(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Targets missed so often that the error budget will not last. Those that a pause made miss are no news."""
    if facts.burns is None:
        return None
    budget = 1 - limits.sla_objective
    stood_still = {queue.name: 0.0 if queue.paused else queue.resumed_seconds for queue in facts.queues or ()}
    found = []
    for queue, burn in sorted(facts.burns.items()):
        for rule, factor, short, long, words, seconds in (
            (Rule.SLA_FAST_BURN, FAST_BURN, burn.five_minutes, burn.hour, "within the last hour", 300.0),
            (Rule.SLA_SLOW_BURN, SLOW_BURN, burn.half_hour, burn.six_hours, "within the last six hours", 1800.0),
        ):
            limit = min(factor * budget, 1.0)
            if _caught_up(stood_still.get(queue), seconds) and _burns_at(short, limit) and _burns_at(long, limit):
                found.append(
                    Condition(
                        rule,
                        queue,
                        f"{long.missed_ratio:.0%} of the starts on {queue} missed their target {words}.",
                        f"/v1/queues/{quote(queue)}",
                        value=round(long.missed_ratio, 4),
                        limit=round(limit, 4),
                    )
                )
    return found


def _burns_at(starts: Starts, limit: float) -> bool:
    return starts.total >= _FEWEST_STARTS and starts.missed_ratio >= limit


def _caught_up(resumed_seconds: float | None, window_seconds: float = 0.0) -> bool:
    return resumed_seconds is None or resumed_seconds >= _CATCH_UP_SECONDS + window_seconds


def backlogs(facts: Facts) -> Iterable[Condition] | None:
    """Tasks that wait for longer than their target. Of a queue that is paused, or was until now, that is no news.

    That a task has not started is known of the time before the oldest report that is not written down.
    """
    if facts.queues is None:
        return None
    unknown_seconds = facts.recorder_lag_seconds or 0.0
    known = {queue: (queue.oldest_seconds or 0.0) - unknown_seconds for queue in facts.queues}
    return [
        _backlog(queue, oldest, facts.now)
        for queue, oldest in known.items()
        if oldest > queue.sla_seconds and not queue.paused and _caught_up(queue.resumed_seconds)
    ]


def _backlog(queue: QueueFacts, oldest: float, now: float) -> Condition:
    return Condition(
        Rule.BACKLOG_OLD,
        queue.name,
        f"The oldest task on {queue.name} has been due for {span(oldest)} and not started.",
        f"/v1/queues/{quote(queue.name)}",
        since=now - oldest + queue.sla_seconds,
        value=round(oldest, 1),
        limit=queue.sla_seconds,
        unit="s",
        severity=Severity.PAGE if queue.urgent else Severity.TICKET,
    )


def without_worker(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Queues with tasks that nobody takes."""
    if facts.queues is None or any(queue.consumers is None for queue in facts.queues):
        return None
    return [
        Condition(
            Rule.NO_WORKER,
            queue.name,
            sentences.no_worker([queue.name]),
            f"/v1/queues/{quote(queue.name)}",
            since=facts.now - (queue.oldest_seconds if queue.quiet_seconds is None else queue.quiet_seconds),
            value=0,
            limit=1,
            unit="processes",
            certain=not queue.consumers
            and (queue.quiet_seconds is None or queue.quiet_seconds >= limits.role_missing_seconds),
        )
        for queue in facts.queues
        if queue.oldest_seconds is not None
        and not queue.paused
        and (not queue.consumers or (queue.quiet_seconds or 0.0) >= _SUSPICIOUS_SECONDS)
    ]


def dispatcher(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Tasks that are not sent though they could be."""
    if not facts.broker_up or facts.queues is None:
        return None
    late = {
        queue.name: queue.waiting_seconds
        for queue in facts.queues
        if queue.room
        and not queue.paused
        and queue.waiting_seconds is not None
        and queue.waiting_seconds >= limits.dispatcher_lag_seconds
    }
    if not late:
        return []
    worst = max(late.values())
    return [
        Condition(
            Rule.DISPATCHER_BEHIND,
            "",
            sentences.dispatcher_behind(list(late)),
            "/readyz?verbose",
            since=facts.now - worst,
            value=round(worst, 1),
            limit=limits.dispatcher_lag_seconds,
            unit="s",
        )
    ]


def several(rule: Rule, found: Sequence[Condition]) -> str:
    """What is wrong with several queues."""
    names = ", ".join(sorted(one.subject for one in found))
    if rule is Rule.NO_WORKER:
        return sentences.no_worker([one.subject for one in found])
    if rule is Rule.BACKLOG_OLD:
        longest = max(one.value or 0.0 for one in found)
        return f"On {names} tasks have been due for longer than their target and not started, for {span(longest)}."
    return f"On {names} starts miss their target, and too many of them."


def unknown_types(facts: Facts) -> Iterable[Condition] | None:
    """Task types that no living worker of their queue knows, though tasks of them are there."""
    return None if facts.unknown_types is None else [_unknown_type(one) for one in facts.unknown_types]


def _unknown_type(one: UnknownType) -> Condition:
    return Condition(
        Rule.UNKNOWN_TASK_TYPE,
        f"{one.task_type}@{one.queue}",
        sentences.unknown_task_type(
            one.task_type, one.queue, one.tasks, one.nodes, capped=one.tasks >= one.most_counted
        ),
        f"/v1/tasks?state=held&task_type={quote(one.task_type, safe='')}&queue={quote(one.queue)}",
        since=one.since,
        value=one.tasks,
        unit="tasks",
    )

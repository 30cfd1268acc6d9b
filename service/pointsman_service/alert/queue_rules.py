"""The rules about queues, pure."""

from collections.abc import Iterable
from urllib.parse import quote

from pointsman_service.alert.conditions import Condition, Limits, span
from pointsman_service.alert.facts import Facts, QueueFacts, Starts, UnknownType
from pointsman_service.alert.kinds import Rule, Severity

FAST_BURN = 14.4
"""Times the error budget's even rate: at this one a month's budget lasts two days. The windows and both factors are
those of Google's SRE workbook, chapter 5 (multiwindow, multi-burn-rate alerts)."""
SLOW_BURN = 6.0
_FEWEST_STARTS = 10
"""Below that a share says nothing."""


def burns(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Targets missed so often that the error budget will not last."""
    if facts.burns is None:
        return None
    budget = 1 - limits.sla_objective
    found = []
    for queue, burn in sorted(facts.burns.items()):
        for rule, factor, short, long, words in (
            (Rule.SLA_FAST_BURN, FAST_BURN, burn.five_minutes, burn.hour, "within the last hour"),
            (Rule.SLA_SLOW_BURN, SLOW_BURN, burn.half_hour, burn.six_hours, "within the last six hours"),
        ):
            limit = min(factor * budget, 1.0)
            if _burns_at(short, limit) and _burns_at(long, limit):
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


def backlogs(facts: Facts) -> Iterable[Condition] | None:
    """Tasks that wait for longer than their target. Of a paused queue that is no news."""
    if facts.queues is None:
        return None
    return [_backlog(queue, facts.now) for queue in facts.queues if not queue.paused and _is_old(queue)]


def _is_old(queue: QueueFacts) -> bool:
    return queue.oldest_seconds is not None and queue.oldest_seconds > queue.sla_seconds


def _backlog(queue: QueueFacts, now: float) -> Condition:
    oldest = queue.oldest_seconds or 0.0
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


def without_worker(facts: Facts) -> Iterable[Condition] | None:
    """Queues with tasks that nobody takes."""
    if facts.queues is None or any(queue.consumers is None for queue in facts.queues):
        return None
    return [
        Condition(
            Rule.NO_WORKER,
            queue.name,
            f"No live worker takes tasks from {queue.name}, and tasks wait there.",
            f"/v1/queues/{quote(queue.name)}",
            since=facts.now - queue.oldest_seconds,
            value=0,
            limit=1,
            unit="processes",
        )
        for queue in facts.queues
        if queue.consumers == 0 and queue.oldest_seconds is not None and not queue.paused
    ]


def dispatcher(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Tasks that are not sent though they could be."""
    if facts.leaders is None or not facts.broker_up or facts.queues is None:
        return None
    if facts.leaders.get("dispatcher", 0.0) <= 0:
        return [
            Condition(Rule.DISPATCHER_BEHIND, "", "No dispatcher runs: waiting tasks are not sent.", "/readyz?verbose")
        ]
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
            f"Tasks wait unsent though the broker has room: {', '.join(late)}.",
            "/readyz?verbose",
            since=facts.now - worst,
            value=round(worst, 1),
            limit=limits.dispatcher_lag_seconds,
            unit="s",
        )
    ]


_NODES_NAMED = 5


def unknown_type(one: UnknownType) -> Condition:
    """A task type that no living worker of its queue knows, though tasks of it are there."""
    more = " or more" if one.tasks >= one.most_counted else ""
    are = "task is" if one.tasks == 1 else "tasks are"
    nodes = ", ".join(one.nodes[:_NODES_NAMED]) + (", …" if len(one.nodes) > _NODES_NAMED else "")
    who = f"Of those that take from it ({nodes}) none knows the type" if nodes else "No worker takes from it"
    return Condition(
        Rule.UNKNOWN_TASK_TYPE,
        f"{one.task_type}@{one.queue}",
        f"{one.tasks:,}{more} {are} held on queue {one.queue}: no living worker of it knows the task type"
        f" {one.task_type}. {who}.",
        f"/v1/tasks?state=held&task_type={quote(one.task_type, safe='')}&queue={quote(one.queue)}",
        since=one.since,
        value=one.tasks,
        unit="tasks",
    )

"""The rules about queues, pure."""

from collections.abc import Collection, Iterable, Sequence
from urllib.parse import quote

from pointsman_service.alert.conditions import Condition, Limits, reaches
from pointsman_service.alert.facts import Facts, QueueFacts, UnknownType
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.prediction.prediction import Prediction
from pointsman_service.observe.sla import FAST_BURN, SLOW_BURN, Starts
from pointsman_service.observe.spans import span

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
    stood_still = {queue.name: 0.0 if queue.paused else queue.resumed_seconds for queue in facts.queues or ()}
    found = []
    for queue, burn in sorted(facts.burns.items()):
        budget = 1 - limits.objective_of(queue)
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
                        f"{100 * long.missed_ratio:.0f} % of the starts on {queue} missed their target {words}.",
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


def at_risk(facts: Facts, open_keys: Collection[str] = ()) -> Iterable[Condition] | None:
    """Tasks that will pass their target before they start, by the prediction, or because nobody takes them. Told before
    they do; that they did is ``backlog_old``.
    """
    if facts.queues is None:
        return None
    unknown_seconds = facts.recorder_lag_seconds or 0.0
    found = []
    for queue in facts.queues:
        if queue.oldest_seconds is None or queue.paused or not _caught_up(queue.resumed_seconds):
            continue
        oldest = max(queue.oldest_seconds - unknown_seconds, 0.0)
        condition = _at_risk(queue, oldest, facts.now)
        if condition is None:
            continue
        if oldest > queue.sla_seconds:
            # It was at risk, if anybody was told so.
            told = condition.key in open_keys or str(condition.rule) in open_keys
        else:
            told = reaches(condition, open_keys)
        if told:
            found.append(condition)
    return found


def _at_risk(queue: QueueFacts, oldest: float, now: float) -> Condition | None:
    """With the longest wait that is expected for its value; None where nothing can be expected."""
    name, target = queue.name, span(queue.sla_seconds)
    first, new = _p50(queue.remaining), _p50(queue.prediction)
    if queue.consumers == 0:
        wait = max(oldest, queue.sla_seconds)
        says = (
            f"No process takes the oldest task on {name}, which has waited for {span(oldest)}; its target is {target}."
        )
    elif first is None and new is None:
        if oldest <= queue.sla_seconds:
            return None
        wait, says = oldest, f"The oldest task on {name} has waited for {span(oldest)}; its target is {target}."
    else:
        wait = max(oldest + (first or 0.0), new or 0.0)
        # As likely as not it takes longer.
        whose = "a task that is submitted" if wait == new else "the oldest task"
        says = f"By the prediction {whose} on {name} starts {span(wait)} after it is due; its target is {target}."
    return Condition(
        Rule.SLA_AT_RISK,
        name,
        says,
        f"/v1/queues/{quote(name)}",
        since=now - oldest,
        value=round(wait, 1),
        limit=queue.sla_seconds,
        unit="s",
        severity=Severity.PAGE if queue.urgent else Severity.TICKET,
    )


def _p50(prediction: Prediction | None) -> float | None:
    return None if prediction is None else prediction.p50_seconds


def without_worker(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    """Queues with tasks that nobody takes: there is no worker, or all that live are taken off it."""
    if facts.queues is None or any(queue.consumers is None for queue in facts.queues):
        return None
    return [
        Condition(
            Rule.WORKER_EJECTED if queue.kept_off and not queue.consumers else Rule.NO_WORKER,
            queue.name,
            sentences.workers_ejected([queue.name], _named(queue.kept_off))
            if queue.kept_off and not queue.consumers
            else sentences.no_worker([queue.name]),
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


def _named(nodes: Sequence[str]) -> str:
    return ", ".join(nodes[: sentences.NODES_NAMED]) + (", …" if len(nodes) > sentences.NODES_NAMED else "")


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
    if rule is Rule.WORKER_EJECTED:
        return sentences.workers_ejected([one.subject for one in found], "see ejected_reason in /v1/workers")
    if rule is Rule.SLA_AT_RISK:
        longest = max(one.value or 0.0 for one in found)
        return f"On {names} tasks will pass their target before they start: a wait of {span(longest)} is expected."
    if rule is Rule.BACKLOG_OLD:
        longest = max(one.value or 0.0 for one in found)
        return f"On {names} tasks have been due for longer than their target and not started, for {span(longest)}."
    return f"On {names} too many starts have missed their target."


def unknown_types(facts: Facts) -> Iterable[Condition] | None:
    """Task types that no living worker of their queue knows, though tasks of them are there."""
    return None if facts.unknown_types is None else [_unknown_type(one) for one in facts.unknown_types]


def _unknown_type(one: UnknownType) -> Condition:
    return Condition(
        Rule.UNKNOWN_TASK_TYPE,
        f"{one.task_type}@{one.queue}",
        sentences.unknown_task_type(
            one.task_type, one.queue, one.tasks, one.nodes, capped=one.tasks >= one.most_counted, knowing=one.knowing
        ),
        f"/v1/tasks?state=held&task_type={quote(one.task_type, safe='')}&queue={quote(one.queue)}",
        since=one.since,
        value=one.tasks,
        unit="tasks",
    )

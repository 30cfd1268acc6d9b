"""Causes of tasks that are held: a circuit breaker, an unknown task type, quarantine."""

from dataclasses import asdict
from urllib.parse import quote

from pointsman_contract.counted import counted
from pointsman_service.breaker.last_error import in_words
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import Breaker, Facts
from pointsman_service.observe.explain.facts_around import BreakerFacts, PublisherFacts, UnknownTypeFacts
from pointsman_service.observe.explain.facts_of_task import QuarantineFacts
from pointsman_service.observe.explain.reasons import reason, task_link, tasks
from pointsman_service.observe.explain.remedies import OF_SCOPE
from pointsman_service.observe.spans import ahead, moment

_CAUSES = {
    "forced_open": Cause.BREAKER_FORCED_OPEN,
    "open": Cause.BREAKER_OPEN,
    "half_open": Cause.BREAKER_HALF_OPEN,
}


def breaker(facts: Facts) -> list[Reason]:
    """The circuit breaker that holds it."""
    found = facts.breaker
    if found is None:
        return []
    cause = _CAUSES.get(found.seen, Cause.BREAKER_CLOSED)
    return [
        reason(
            cause,
            _SENTENCES[cause](facts, found),
            BreakerFacts(
                scope=found.scope,
                name=found.name,
                state=found.seen,
                by=found.by,
                reason=found.reason,
                until=found.until,
                retry_at=found.retry_at,
                last_error=found.last_error,
                held=None if found.held is None else found.held.tasks,
                held_capped=found.held is not None and found.held.capped,
                held_types=found.held_types,
            ),
            f"/v1/breakers/{found.scope}/{quote(found.name, safe='')}",
            since=found.since,
            clears_itself=_clears(cause, found),
            expected_at=found.until or found.retry_at,
            remedy=OF_SCOPE.get(found.scope) if cause is Cause.BREAKER_OPEN else None,
            scope=found.scope,
            name=found.name,
        )
    ]


def _clears(cause: Cause, breaker: Breaker) -> bool | None:
    if cause is Cause.BREAKER_FORCED_OPEN:
        return breaker.until is not None
    if cause is Cause.BREAKER_CLOSED:
        return True
    # What fails in a task's own code fails until that is mended; what is called may come back.
    return None if breaker.scope == "task_type" else True


def _forced_open(facts: Facts, found: Breaker) -> str:
    by = "" if found.by is None else f" By {found.by}"
    since = "" if found.since is None or not by else f" at {moment(found.since, facts.now)}"
    why = f": {found.reason}" if by and found.reason else ""
    until = "until somebody lets it go" if found.until is None else f"until {moment(found.until, facts.now)}"
    opened = sentences.breaker_open(found.scope, found.name, None, by_hand=True)
    return f"{opened}{by}{since}{f'{why}.' if by else ''} It stays so {until}.{_held(found)}"


def _open(facts: Facts, found: Breaker) -> str:
    opened = sentences.breaker_open(found.scope, found.name, _last_error(found), by_hand=False)
    since = "" if found.since is None else f" It opened at {moment(found.since, facts.now)}."
    if found.retry_at is None:
        tried = " When it is tried next is not known."
    else:
        due = found.retry_at > facts.now
        tried = f" It is tried next {ahead(found.retry_at, facts.now)}." if due else " It is tried now."
    return f"{opened}{since}{tried}{_held(found)}"


def _half_open(_: Facts, found: Breaker) -> str:
    return (
        f"The circuit breaker of {found.scope} {found.name} is half open: a few go first, and this task goes when they"
        f" succeed.{_held(found)}"
    )


def _closed(_: Facts, found: Breaker) -> str:
    return (
        f"The circuit breaker of {found.scope} {found.name} has closed. What it held goes, the most urgent first and"
        f" at a rate that doubles every five seconds.{_held(found)}"
    )


_SENTENCES = {
    Cause.BREAKER_FORCED_OPEN: _forced_open,
    Cause.BREAKER_OPEN: _open,
    Cause.BREAKER_HALF_OPEN: _half_open,
    Cause.BREAKER_CLOSED: _closed,
}


def _last_error(found: Breaker) -> str | None:
    error = found.last_error
    return None if error is None else in_words(asdict(error))


def _held(found: Breaker) -> str:
    if found.held is None or not found.held.tasks:
        return ""
    types = ", ".join(f"{one.tasks} {one.task_type}" for one in found.held_types[:3])
    return (
        f" It holds {tasks(found.held)}{f' ({types})' if len(found.held_types) > 1 else ''}; being held spends no"
        " attempt."
    )


def unknown_type(facts: Facts) -> Reason:
    """Nobody of the queue knows its type."""
    task, found = facts.task, facts.unknown
    link = f"/v1/tasks?state=held&task_type={quote(task.task_type, safe='')}&queue={quote(task.queue, safe='')}"
    held = 1 if found is None else max(found.held.tasks, 1)
    nodes = () if found is None else found.nodes
    publisher = None if found is None else found.publisher
    knowing = () if found is None else found.knowing
    said = sentences.unknown_task_type(
        task.task_type, task.queue, held, nodes, capped=found is not None and found.held.capped, knowing=knowing
    )
    if publisher is not None and not knowing:
        who = publisher.name or "a node that is not known any more"
        said += f" It was last published by {who} at {moment(publisher.published_at, facts.now)}"
        if publisher.last_seen_at is not None:
            said += f", last seen at {moment(publisher.last_seen_at, facts.now)}"
        said += "."
    elif not knowing:
        said += " No node that is known has published it."
    return reason(
        Cause.UNKNOWN_TASK_TYPE,
        said,
        UnknownTypeFacts(
            task.queue,
            task.task_type,
            nodes,
            held,
            found is not None and found.held.capped,
            None
            if publisher is None
            else PublisherFacts(publisher.name, publisher.last_seen_at, publisher.published_at),
        ),
        link,
        since=None if facts.live is None else facts.live.held_at,
        clears_itself=bool(knowing),
    )


def quarantine(facts: Facts) -> Reason:
    """It runs alone, once there is nothing else."""
    lost = 0 if facts.live is None else facts.live.interrupted_in_a_row
    kept = facts.queue.kept_for == str(facts.task.id)
    then = (
        f"The queue {facts.queue.name} is being emptied for it."
        if kept
        else f"It waits until the nodes of {facts.queue.name} have nothing else."
    )
    return reason(
        Cause.QUARANTINE,
        f"It lost its worker {counted(lost, 'time')} in a row, and runs next with nothing beside it. {then}",
        QuarantineFacts(lost, facts.queue.name, kept),
        task_link(facts),
        since=None if facts.live is None else facts.live.held_at,
        clears_itself=True,
        task_id=str(facts.task.id),
    )

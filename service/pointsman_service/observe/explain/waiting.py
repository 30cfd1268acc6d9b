"""Why a task that is due, or will be, has not started."""

from datetime import timedelta

from pointsman_contract.states import Place, TaskState
from pointsman_service.breaker.last_error import in_a_line
from pointsman_service.observe.explain import held, installation, queue, sentences
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import Facts, Live
from pointsman_service.observe.explain.facts_around import LostFacts, RoleFacts
from pointsman_service.observe.explain.facts_of_task import DueFacts, SentFacts
from pointsman_service.observe.explain.reasons import READY, queue_link, reason, task_link, told, waited
from pointsman_service.observe.spans import ahead, span

_MOMENT_SECONDS = 3.0
"""So long a step may take while all is well."""
_LOST_SECONDS = 15.0
"""By then what fell out of the line is usually put back."""
Found = tuple[list[Reason], list[Reason]]
"""What keeps it, and what else is wrong."""


def asleep(facts: Facts) -> Found:
    """Due later, or due and not woken yet."""
    system, task, now = facts.system, facts.task, facts.now
    nobody = installation.role(system, "reconciler", now)
    if task.due_at > now:
        return [_due(facts)], nobody
    if nobody:
        return told(nobody, waited(facts)), [_due(facts)]
    late = (now - task.due_at).total_seconds()
    if late < _MOMENT_SECONDS:
        return [_starting(facts, None)], []
    return [_not_known(facts, f"It has been due for {span(late)} and was not woken, though a reconciler runs.")], []


def _due(facts: Facts) -> Reason:
    task, now = facts.task, facts.now
    facts_of_it = DueFacts(
        task.due_at,
        task.attempt,
        task.max_attempts,
        None if task.error is None else task.error.type,
        None if task.error is None else task.error.message,
    )
    passed = task.due_at <= now
    when = f"was due {span((now - task.due_at).total_seconds())} ago" if passed else f"is due {ahead(task.due_at, now)}"
    if task.state is TaskState.RETRYING:
        why = "" if task.error is None else f" with {in_a_line(task.error.type, task.error.message)}"
        most = task.max_attempts + task.interruptions
        said = f"Attempt {task.attempt} failed{why}. The next one, of {most} at most, {when}."
        cause = Cause.RETRYING
    else:
        said = f"It was submitted to start later, and {when}."
        cause = Cause.SCHEDULED
    return reason(
        cause, said, facts_of_it, task_link(facts), clears_itself=True, expected_at=None if passed else task.due_at
    )


def unsent(facts: Facts) -> Found:
    """Due, in PostgreSQL, and not sent."""
    system, now = facts.system, facts.now
    keeps = [
        *told(installation.broker(system, key_matters=facts.queue.broken), waited(facts)),
        *told(installation.role(system, "dispatcher", now), waited(facts)),
        *queue.paused(facts),
        *queue.unserved(facts),
        *queue.kept_empty(facts),
        *queue.busy(facts),
        *queue.window(facts),
    ]
    also = installation.recorder(system, now)
    if keeps:
        return keeps, also
    waits = (now - facts.task.due_at).total_seconds()
    if waits < _MOMENT_SECONDS:
        return [_starting(facts, None)], also
    if facts.ahead is not None and not facts.ahead.tasks and system.redis_up and waits >= _LOST_SECONDS:
        return [_dispatcher_behind(facts)], also
    return [_not_known(facts, f"Nothing that is known keeps it from being sent.{waited(facts)}")], also


def _dispatcher_behind(facts: Facts) -> Reason:
    return reason(
        Cause.DISPATCHER_BEHIND,
        f"{sentences.dispatcher_behind([facts.queue.name])}{waited(facts)}",
        RoleFacts("dispatcher", 0.0, facts.system.recorder_lag_seconds),
        READY,
        since=facts.task.due_at,
    )


def sent(facts: Facts, live: Live) -> Found:
    """On the broker or in a worker, and not started as far as was written down."""
    system, now = facts.system, facts.now
    nobody = installation.role(system, "reconciler", now)
    keeps = [
        *told(installation.broker(system, key_matters=facts.queue.broken), waited(facts)),
        *told(installation.recorder(system, now), " This task may have started, and even ended."),
        *queue.paused(facts),
        *queue.unserved(facts),
        *_lost(facts),
        *queue.busy(facts),
    ]
    if keeps:
        return keeps, nobody
    since = (now - live.sent_at).total_seconds()
    if since < _MOMENT_SECONDS:
        return [_starting(facts, live)], nobody
    said = f"Its message was sent {span(since)} ago, and no worker has said that it began."
    if facts.fetched is not None:
        said += f" {facts.fetched.node} has fetched it."
    if live.unclaimed_reason:
        said += f" A worker gave it back before: {live.unclaimed_reason}"
    then = " If it was lost, it is sent again within some seconds." if not nobody else ""
    return [
        *nobody,
        reason(
            Cause.NOT_BEGUN,
            said + then,
            _sent_facts(facts, live),
            task_link(facts),
            since=live.sent_at,
            clears_itself=not nobody,
        ),
    ], []


def _lost(facts: Facts) -> list[Reason]:
    fetched = facts.fetched
    if fetched is None or fetched.live is not False:
        return []
    return [lost_worker(facts, fetched.node, "It had fetched the message of this task.")]


def lost_worker(facts: Facts, name: str, what: str) -> Reason:
    """The node that has the task fell silent."""
    seen = next((node.last_seen_at for node in facts.queue.nodes or () if node.name == name), None)
    return reason(
        Cause.WORKER_LOST,
        f"{sentences.worker_lost(name)} {what}",
        LostFacts(name, seen),
        "/v1/workers",
        since=seen,
        clears_itself=not facts.system.lacks("reconciler"),
    )


def held_back(facts: Facts) -> Found:
    """Held in PostgreSQL."""
    system, now, why = facts.system, facts.now, facts.task.held_reason or ""
    nobody = installation.role(system, "reconciler", now)
    beside = [*installation.broker(system, key_matters=False), *queue.paused(facts), *queue.unserved(facts)]
    if why == "quarantine":
        return [*nobody, held.quarantine(facts)], beside
    if why == "unknown_task_type":
        return [held.unknown_type(facts)], [*nobody, *beside]
    found = held.breaker(facts)
    if not found:
        return [*nobody, _not_known(facts, f"It is held: {why or 'nobody said why'}.")], beside
    stands = facts.breaker is not None and facts.breaker.seen in ("open", "forced_open")
    waits = stands and (found[0].expected_at is None or found[0].expected_at > now - timedelta(seconds=_MOMENT_SECONDS))
    return ([*found], [*nobody, *beside]) if waits else ([*nobody, *found], beside)


def _starting(facts: Facts, live: Live | None) -> Reason:
    sent_it = "was sent" if live is not None else "is due"
    return reason(
        Cause.STARTING,
        f"Nothing is wrong: it {sent_it} and starts within a moment.",
        _sent_facts(facts, live),
        task_link(facts),
        since=facts.task.due_at if live is None else live.sent_at,
        clears_itself=True,
    )


def _not_known(facts: Facts, said: str) -> Reason:
    return reason(
        Cause.NOT_KNOWN, said, _sent_facts(facts, facts.live), queue_link(facts.task.queue), since=facts.task.due_at
    )


def _sent_facts(facts: Facts, live: Live | None) -> SentFacts:
    on_its_way = live is not None and live.place is Place.SENT
    return SentFacts(
        facts.task.queue,
        live.sent_at if on_its_way and live is not None else None,
        facts.task.dispatch,
        None if facts.fetched is None else facts.fetched.node,
        None if live is None else live.unclaimed_reason,
    )

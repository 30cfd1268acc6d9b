"""Sentences about circuit breakers. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from pointsman_service.alert.alert import Alert
from pointsman_service.alert.kinds import Rule, advice
from pointsman_service.now.facts import Facts, Failure, Group, Tripped, TypeRuns
from pointsman_service.now.picture import Cause, CauseError, Link, LinkKind, Part, Remedy, Urgency, Words
from pointsman_service.now.words import NOTHING_TO_DO, listed, number, one, over, quoted, since, words
from pointsman_service.now.words import failure as said_of
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.spans import ahead, moment, span
from pointsman_service.store.first_page.moving import MOST_COUNTED
from pointsman_service.store.queues.holding import BY_BREAKER

FORCED = "forced_open"


def key_of(tripped: Tripped) -> str:
    """``dependency:smtp``."""
    return f"{tripped.scope}:{tripped.name}"


def cause_of(tripped: Tripped, facts: Facts, alert: Alert | None) -> Cause:
    """That a circuit breaker lets not every call through; ``alert``: the worst one about it, if any."""
    rule = Rule.BREAKER_OPEN if alert is None else Rule(alert.rule)
    step, page = advice(rule, key_of(tripped))
    by_hand = tripped.seen == FORCED
    return Cause(
        severity=Urgency.TICKET if alert is None else Urgency(alert.severity),
        kind=str(rule),
        subject=key_of(tripped),
        since=tripped.since or (None if alert is None else alert.since),
        parts=_by_hand(tripped, facts) if by_hand else _by_itself(tripped, facts),
        consequences=tuple(_consequences(tripped, facts)),
        being_done=_being_done(tripped, facts),
        remedies=(*_remedies(tripped, step, page), *_again(tripped, facts)),
        error=None if by_hand or tripped.error is None else error_of(tripped.error, tripped.group),
        documentation="docs/breakers.md#by-hand" if by_hand else page,
    )


def error_of(failure: Failure, group: Group | None) -> CauseError:
    """The error of a cause."""
    return CauseError(
        failure.type,
        failure.message,
        failure.task_id,
        failure.count,
        None if group is None else group.where,
        None if group is None else str(group.id),
    )


def has_closed(key: str, facts: Facts) -> bool:
    """Whether a circuit breaker lets every call through now; False where that is not known."""
    if not key or facts.are_old or facts.breakers_in_all != len(facts.breakers):
        return False
    return all(key_of(tripped) != key for tripped in facts.breakers)


def closed(alert: Alert, plain: Cause) -> Cause:
    """That one is closed again of which an alert still tells."""
    name = alert.subject.partition(":")[2] or alert.subject
    return replace(
        plain,
        parts=words(
            one(LinkKind.BREAKER, alert.subject, name), " does not fail any more: its circuit breaker is closed."
        ),
        being_done=words("Its alert ends once it has been closed for some seconds."),
        remedies=(Remedy(NOTHING_TO_DO, Link(LinkKind.DOCUMENT, plain.documentation)),),
    )


def _subject(tripped: Tripped) -> Part:
    return one(LinkKind.BREAKER, key_of(tripped), tripped.name)


def _by_hand(tripped: Tripped, facts: Facts) -> Words:
    kept = "is kept off its queues" if tripped.scope == "worker" else "is forced open"
    by = f" by {tripped.by}" if tripped.by else ""
    return words(_subject(tripped), f" {kept}{since(tripped.since, facts.now)}{by}{quoted(tripped.reason)}.")


def _by_itself(tripped: Tripped, facts: Facts) -> Words:
    runs = facts.types.get(tripped.name) if tripped.scope == "task_type" else None
    always = runs is not None and runs.failed > 0 and not runs.succeeded
    verb = "always fails" if always else "has failed"
    if tripped.error is None:
        return words(_subject(tripped), f" {verb}{since(tripped.since, facts.now)}.")
    where = "" if tripped.group is None or tripped.group.where is None else f" at {tripped.group.where}"
    thing = "run" if tripped.scope == "task_type" else "call"
    return words(
        _subject(tripped),
        f" {verb}{since(tripped.since, facts.now)}: ",
        _error_part(tripped.error),
        f"{where}, {number(tripped.error.count, thing)}.",
    )


def _error_part(failure: Failure) -> Part:
    link = None if failure.task_id is None else Link(LinkKind.TASK, failure.task_id)
    return Part(said_of(failure.type, failure.message), link)


def _consequences(tripped: Tripped, facts: Facts) -> Iterator[Words]:
    if tripped.scope == "task_type":
        yield from of_type(facts.types.get(tripped.name), facts)
    if tripped.held:
        yield words(*_held(tripped, facts))
    elif tripped.scope != "worker":
        yield words("No task is held.")
    for queue in facts.queues:
        late = _late(queue)
        if late is not None and _holds(queue, tripped):
            yield words(one(LinkKind.QUEUE, queue.name), f" is {over(late, queue.sla_seconds)}.")


def of_type(runs: TypeRuns | None, facts: Facts) -> Iterator[Words]:
    """Whether other inputs of a task type succeed, and since when its newest version is there."""
    if runs is None or not runs.failed + runs.succeeded:
        return
    ended = runs.failed + runs.succeeded
    if runs.succeeded:
        yield words(f"Other inputs succeed: {runs.failed:,} of {number(ended, 'task')} failed in a quarter of an hour.")
    else:
        yield words(f"No input succeeds: {runs.failed:,} of {number(ended, 'task')} failed in a quarter of an hour.")
    if runs.version_since is not None:
        past = span(max((facts.now - runs.version_since).total_seconds(), 0.0))
        yield words(f"A new version of it was published at {moment(runs.version_since, facts.now)} ({past} ago).")


def _held(tripped: Tripped, facts: Facts) -> Iterator[str | Part]:
    wanted = {"state": "held", "held_reason": f"{BY_BREAKER}{key_of(tripped)}"}
    yield Part(number(tripped.held, "task"), Link(LinkKind.TASKS, filter=wanted))
    yield " is held" if tripped.held == 1 else " are held"
    if tripped.held_types and tripped.scope != "task_type":
        yield " ("
        yield from listed([one(LinkKind.TASK_TYPE, name, counted) for name, counted in _types(tripped)])
        yield ")"
    if tripped.held_since is not None:
        yield f", the first for {span(max((facts.now - tripped.held_since).total_seconds(), 0.0))}"
    yield "; a held task loses no attempt."


def _counted(tasks: int, task_type: str) -> str:
    return f"{tasks:,}{'+' if tasks >= MOST_COUNTED else ''} {task_type}"


def _types(tripped: Tripped) -> list[tuple[str, str]]:
    if len(tripped.held_types) == 1:
        # How many there are in all is known of this moment, and how many of a type of some seconds ago.
        return [(name, f"{tripped.held:,} {name}") for name in tripped.held_types]
    ordered = sorted(tripped.held_types.items(), key=lambda found: (-found[1], found[0]))
    return [(name, _counted(tasks, name)) for name, tasks in ordered]


def _late(queue: QueueFigures) -> float | None:
    oldest = queue.oldest_wait_seconds
    return oldest if oldest is not None and oldest > queue.sla_seconds else None


def _holds(queue: QueueFigures, tripped: Tripped) -> bool:
    return any(part.reason == f"{BY_BREAKER}{key_of(tripped)}" for part in queue.held_by)


def _being_done(tripped: Tripped, facts: Facts) -> Words:
    if tripped.seen == FORCED:
        until = "Nothing, until somebody takes that back."
        return words(until if tripped.until is None else f"It ends by itself {ahead(tripped.until, facts.now)}.")
    if tripped.seen == "half_open":
        return words("Its next calls are tried, a few at a time; it closes when they succeed.")
    if tripped.retry_at is None:
        return ()
    due = tripped.retry_at > facts.now
    # That its moment is over says nothing of when something calls.
    return words(f"It is tried again {ahead(tripped.retry_at, facts.now)}." if due else "Its next call is tried.")


def _again(tripped: Tripped, facts: Facts) -> Iterator[Remedy]:
    """What failed for good can run again, once it is mended."""
    runs = facts.types.get(tripped.name) if tripped.scope == "task_type" else None
    if tripped.group is not None and runs is not None and runs.failed:
        failed = Link(LinkKind.TASKS, filter={"state": "failed", "error_group": str(tripped.group.id)})
        yield Remedy("It is mended: run again what failed this way.", failed, act="retry_tasks")


def _remedies(tripped: Tripped, step: str, page: str) -> Iterator[Remedy]:
    itself = Link(LinkKind.BREAKER, key_of(tripped))
    if tripped.scope == "worker":
        if tripped.seen != FORCED:
            yield Remedy(step, Link(LinkKind.DOCUMENT, page))
        yield Remedy("Let it back.", Link(LinkKind.WORKER, tripped.name), act="admit_worker")
        return
    if tripped.seen == FORCED:
        yield Remedy("Take it back when the reason is over.", itself, act="reset_breaker")
        return
    yield Remedy(step, Link(LinkKind.DOCUMENT, page))
    if tripped.seen == "open":
        yield Remedy("Try it now, with a few of what it holds.", itself, act="probe_breaker")
    yield Remedy("Close it now: calls pass, and are counted anew.", itself, act="force_breaker_closed")
    yield Remedy("Keep it open until somebody takes that back.", itself, act="force_breaker_open")
    yield Remedy("Disable it: every call passes.", itself, act="disable_breaker")

"""Causes that lie in the queue of a task: its pause, its workers, its share of the broker."""

from datetime import datetime, timedelta

from pointsman_service.observe.explain import sentences
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import Facts, Node, RunningNow
from pointsman_service.observe.explain.facts_around import (
    BusyFacts,
    EjectedFacts,
    EjectionFacts,
    KeptEmptyFacts,
    NodeFacts,
    NoWorkerFacts,
    PauseFacts,
    WindowFacts,
)
from pointsman_service.observe.explain.reasons import queue_link, reason, tasks, waited
from pointsman_service.observe.explain.remedies import REMEDIES, Remedy
from pointsman_service.observe.prediction.prediction import Confidence
from pointsman_service.observe.spans import moment, short_span

_NAMED = 3
_AT_ONCE_SECONDS = 0.1
_BEGUN_SECONDS = 3.0
"""Within so long beats say what a process has begun."""


def paused(facts: Facts) -> list[Reason]:
    """That somebody paused it."""
    queue, pause = facts.queue, facts.queue.pause
    if pause is None:
        return []
    count, capped = _ahead(facts)
    said = sentences.queue_paused(queue.name, pause.by, pause.reason, moment(pause.since, facts.now))
    return [
        reason(
            Cause.QUEUE_PAUSED,
            f"{said}{waited(facts)}",
            PauseFacts(queue.name, pause.by, pause.reason, count, capped),
            queue_link(queue.name),
            since=pause.since,
            clears_itself=False,
            queue=queue.name,
        )
    ]


def kept_empty(facts: Facts) -> list[Reason]:
    """That a task in quarantine is to run there alone."""
    queue = facts.queue
    if queue.kept_for is None or queue.kept_for == str(facts.task.id):
        return []
    return [
        reason(
            Cause.QUEUE_KEPT_EMPTY,
            f"The queue {queue.name} is kept empty so that task {queue.kept_for}, which lost its worker again and"
            f" again, runs alone.{waited(facts)}",
            KeptEmptyFacts(queue.name, queue.kept_for),
            f"/v1/tasks/{queue.kept_for}",
            clears_itself=True,
            task_id=queue.kept_for,
        )
    ]


def unserved(facts: Facts) -> list[Reason]:
    """That nobody takes from it, or only nodes that are kept off it."""
    queue = facts.queue
    if queue.nodes is None or queue.serving:
        return []
    ejected = [node for node in queue.nodes if node.live and node.ejected]
    if ejected:
        return [_ejected(facts, ejected)]
    if any(node.live is None for node in queue.nodes):
        return []
    last = sorted(queue.nodes, key=lambda node: node.last_seen_at, reverse=True)
    there = "; ".join(_last(facts, node) for node in last[:_NAMED])
    count, capped = _ahead(facts)
    step, page = REMEDIES[Cause.NO_WORKER]
    return [
        reason(
            Cause.NO_WORKER,
            f"{sentences.no_worker([queue.name])}"
            + (f" Last there: {there}." if there else " None was seen lately.")
            + waited(facts),
            NoWorkerFacts(
                queue.name,
                tuple(NodeFacts(node.name, node.last_seen_at, node.left) for node in last[:_NAMED]),
                count,
                capped,
            ),
            queue_link(queue.name),
            since=max((node.last_seen_at for node in last), default=None),
            clears_itself=False,
            remedy=Remedy(f"{step[:-1]}: celery -A pointsman worker -Q {queue.name}.", page),
        )
    ]


def _last(facts: Facts, node: Node) -> str:
    how = "" if node.left is None else ", which ended in order" if node.left else ", which fell silent"
    return f"{node.name} at {moment(node.last_seen_at, facts.now)}{how}"


def _ejected(facts: Facts, nodes: list[Node]) -> Reason:
    queue = facts.queue
    said = "; ".join(
        f"{node.name} is taken off its queues"
        + ("" if node.ejected_since is None else f" since {moment(node.ejected_since, facts.now)}")
        + (f": {node.ejected_reason}" if node.ejected_reason else "")
        for node in nodes[:_NAMED]
    )
    untils = [node.ejected_until for node in nodes]
    until = min((at for at in untils if at is not None), default=None)
    return reason(
        Cause.WORKER_EJECTED,
        f"{sentences.workers_ejected([queue.name], said)}{waited(facts)}",
        EjectionFacts(
            queue.name,
            tuple(
                EjectedFacts(node.name, node.ejected_since, node.ejected_reason, node.ejected_until) for node in nodes
            ),
        ),
        "/v1/workers",
        since=max((node.ejected_since for node in nodes if node.ejected_since is not None), default=None),
        clears_itself=until is not None,
        expected_at=until,
        worker=nodes[0].name,
    )


def busy(facts: Facts) -> list[Reason]:
    """That its processes have others to do first."""
    queue, serving = facts.queue, facts.queue.serving
    if not serving or any(node.busy is None for node in serving):
        return []
    processes = sum(node.processes for node in serving)
    at_work = max(sum(min(node.busy or 0, node.processes) for node in serving), min(queue.begun, processes))
    is_behind = facts.ahead is not None and facts.ahead.tasks > 0
    # Those that were just submitted with it take what is free before it.
    is_new = (facts.now - facts.task.due_at).total_seconds() < _BEGUN_SECONDS
    free = processes - at_work
    if free > 0 and queue.pause is not None:
        return []
    taken = is_new and facts.ahead is not None and facts.ahead.tasks >= free and not window(facts)
    if free > 0 and not (is_behind and (at_work or taken)):
        return []
    count, capped = _ahead(facts)
    if not at_work:
        lead = f"Others take the {processes} processes of {queue.name} first"
        lead = f"Others take the one process of {queue.name} first" if processes == 1 else lead
    elif at_work < processes:
        are = "is" if at_work == 1 else "are"
        lead = f"Others take the {processes} processes of {queue.name} first, of which {at_work} {are} busy by now"
    elif processes == 1:
        lead = f"The one process that takes from {queue.name} is busy"
    else:
        lead = f"All {processes} processes that take from {queue.name} are busy"
    doing = "; ".join(map(_doing, queue.running[:_NAMED]))
    fetched = "" if facts.fetched is None else f" {facts.fetched.node} has fetched it."
    before = (
        ""
        if not is_behind or facts.ahead is None
        else f" {_capital(tasks(facts.ahead))} of equal or higher priority"
        f" {'is' if count == 1 and not capped else 'are'} before it"
        f"{', for callers take turns' if facts.live is not None and facts.live.takes_turns else ''}."
    )
    return [
        reason(
            Cause.ALL_BUSY,
            f"{lead}{f', with {doing}' if doing else ''}.{before}{_elsewhere(facts)}{fetched}{_starts(facts)}",
            BusyFacts(
                queue.name,
                processes,
                at_work,
                count,
                capped,
                queue.running,
                None if facts.fetched is None else facts.fetched.node,
                *_quantiles(facts),
                facts.elsewhere,
            ),
            queue_link(queue.name),
            since=facts.task.due_at,
            clears_itself=True,
            expected_at=_expected(facts),
        )
    ]


def _elsewhere(facts: Facts) -> str:
    if not facts.elsewhere:
        return ""
    what = "1 task" if facts.elsewhere == 1 else f"{facts.elsewhere:,} tasks"
    return f" About {what} of other queues, which the same workers empty first, go before it."


def _doing(running: RunningNow) -> str:
    many = f"{running.tasks} of {running.task_type}" if running.tasks > 1 else running.task_type
    if running.longest_seconds is None:
        return many
    usual = (
        "not known what is usual"
        if running.usual_p95_seconds is None
        else f"usual p95 {short_span(running.usual_p95_seconds)}"
    )
    return f"{many} for {short_span(running.longest_seconds)} ({usual})"


def window(facts: Facts) -> list[Reason]:
    """That the broker has as much of it as it is to have."""
    queue = facts.queue
    if queue.on_broker is None or queue.window is None or queue.on_broker < queue.window:
        return []
    count, capped = _ahead(facts)
    return [
        reason(
            Cause.WINDOW_FULL,
            f"The broker has {queue.on_broker:,} messages of {queue.name}, and is to have no more than"
            f" {queue.window:,}: this task is sent as they start.{waited(facts)}{_starts(facts)}",
            WindowFacts(queue.name, queue.on_broker, queue.window, count, capped, *_quantiles(facts)),
            queue_link(queue.name),
            since=facts.task.due_at,
            clears_itself=True,
            expected_at=_expected(facts),
        )
    ]


def _ahead(facts: Facts) -> tuple[int | None, bool]:
    return (None, False) if facts.ahead is None else (facts.ahead.tasks, facts.ahead.capped)


def _quantiles(facts: Facts) -> tuple[float | None, float | None]:
    found = facts.prediction
    return (None, None) if found is None else (found.p50_seconds, found.p95_seconds)


def _starts(facts: Facts) -> str:
    half, most = _quantiles(facts)
    if half is None or most is None:
        return ""
    when = f"in about {short_span(half)}" if half >= _AT_ONCE_SECONDS else "at once"
    if facts.prediction is None or facts.prediction.confidence is not Confidence.LOW:
        return f" It starts {when}, with 95 % confidence within {short_span(most)}."
    return f" By what little is known it starts {when}, perhaps only in {short_span(most)}."


def _expected(facts: Facts) -> datetime | None:
    half, _ = _quantiles(facts)
    return None if half is None else facts.now + timedelta(seconds=half)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

"""Sentences about queues: that nobody works on one, that tasks wait too long, that one is paused. Pure."""

import math
from collections.abc import Iterable, Iterator, Sequence

from pointsman_service.alert.alert import Alert
from pointsman_service.alert.kinds import Rule
from pointsman_service.now.facts import Facts, Mix
from pointsman_service.now.picture import Cause, Link, LinkKind, Part, Remedy, Urgency, Words
from pointsman_service.now.words import NOTHING_TO_DO, listed, number, one, over, per, quoted, since, words
from pointsman_service.observe.explain.causes import Cause as Why
from pointsman_service.observe.explain.facts import RunningNow
from pointsman_service.observe.explain.remedies import REMEDIES
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.spans import moment, short_span, span
from pointsman_service.store.queues.unserved import UNKNOWN_TASK_TYPE

PAUSED = "queue_paused"
_FORGOTTEN_SECONDS = 3600.0
"""A queue that is paused for so long and has tasks past their target may have been forgotten."""
_MOST = 0.6
"""What so many of the tasks that wait have in common is told."""
_LONG = 3.0
"""Times the usual run time: a process that is busy for so long is told."""
_MOST_QUEUES = 5
_BURST_SECONDS = 300.0
_ALL_WITHIN = "Every queue is within its target again."


def queues_of(alert: Alert, facts: Facts) -> list[QueueFigures]:
    """The queues that an alert is about: its subject, or of one that stands for several those it is true of."""
    if alert.subject:
        found = facts.queue(alert.subject)
        return [] if found is None else [found]
    if alert.rule == Rule.NO_WORKER:
        return [queue for queue in facts.queues if queue.depth and queue.consumers == 0 and not queue.paused]
    return [queue for queue in facts.queues if is_late(queue) and not queue.paused]


def is_late(queue: QueueFigures) -> bool:
    """Whether its oldest task has waited for longer than the target."""
    return queue.oldest_wait_seconds is not None and queue.oldest_wait_seconds > queue.sla_seconds


def no_worker(alert: Alert, facts: Facts, cause: Cause) -> dict[str, object]:
    """What is told of queues that nobody takes from."""
    queues = queues_of(alert, facts)
    if not queues:
        return {} if alert.subject else _none_lacks_workers(alert, facts)
    names = [one(LinkKind.QUEUE, queue.name) for queue in queues]
    has = "has" if len(queues) == 1 else "have"
    if all(queue.consumers for queue in queues) and not facts.are_old:
        return _again(words(*listed(names), f" {has} a live worker again."), alert)
    return {
        "parts": words(*listed(names), f" {has} no live worker{since(cause.since, facts.now)}."),
        "consequences": tuple(
            words(*pieces)
            for queue in queues[:_MOST_QUEUES]
            for pieces in (_last_there(queue, facts), waits(queue))
            if pieces
        ),
        "being_done": words("What its workers ran is sent again to the next that starts; nothing is lost."),
        "remedies": tuple(_start(queues)),
    }


def _none_lacks_workers(alert: Alert, facts: Facts) -> dict[str, object]:
    if not facts.queues or facts.are_old or any(queue.consumers is None for queue in facts.queues):
        return {}
    if all(queue.consumers for queue in facts.queues):
        return _again(words("Every queue has a live worker again."), alert)
    return _again(words("No task waits on a queue without a live worker any more."), alert)


def _start(queues: Sequence[QueueFigures]) -> Iterator[Remedy]:
    page = Link(LinkKind.DOCUMENT, REMEDIES[Why.NO_WORKER].page)
    for queue in queues[:_MOST_QUEUES]:
        yield Remedy(f"Start a worker of {queue.name}.", page, f"celery -A pointsman worker -Q {queue.name}")


def _last_there(queue: QueueFigures, facts: Facts) -> list[str | Part]:
    nodes = sorted(facts.nodes.get(queue.name, ()), key=lambda node: node.last_seen_at, reverse=True)
    if not nodes:
        return []
    last = nodes[0]
    how = {True: ", and ended in order", False: ", and fell silent", None: ""}[last.left]
    return [one(LinkKind.WORKER, last.name), f" was last seen {moment(last.last_seen_at, facts.now)}{how}."]


def waits(queue: QueueFigures) -> list[str | Part]:
    """``18 tasks wait on reports, the oldest for 2 min (target 60 s); 12/min come.``, in pieces."""
    if not queue.depth:
        return []
    oldest = "" if queue.oldest_wait_seconds is None else f", the oldest for {span(queue.oldest_wait_seconds)}"
    come = f"; {per(queue.arrival_rate)} come" if queue.arrival_rate else ""
    return [
        Part(number(queue.depth, "task"), Link(LinkKind.TASKS, filter={"state": "queued", "queue": queue.name})),
        f" {'waits' if queue.depth == 1 else 'wait'} on ",
        one(LinkKind.QUEUE, queue.name),
        f"{oldest}; target {span(queue.sla_seconds)}{come}.",
    ]


def late(alert: Alert, facts: Facts) -> dict[str, object]:
    """What is told of queues whose tasks wait too long: what fills them, or what their processes do instead."""
    queues = queues_of(alert, facts)
    if not queues:
        return {} if alert.subject or _any_may_be_late(facts) else _again(words(_ALL_WITHIN), alert)
    first = max(queues, key=lambda queue: (queue.oldest_wait_seconds or 0.0) / queue.sla_seconds)
    if not any(_may_be_late(queue, facts) for queue in queues):
        return _within_target(queues, alert)
    stuck = _stuck(first, facts.running.get(first.name, ()))
    return {
        "parts": words(*(_busy_with(first, stuck) if stuck is not None else _rates(first))),
        "consequences": tuple(_of_late(queues, first, facts, is_stuck=stuck is not None)),
        "remedies": tuple(_remedies(first, facts, stuck)),
    }


def _may_be_late(queue: QueueFigures, facts: Facts) -> bool:
    """Whether its tasks are late, or will be; also where that is not known."""
    said = facts.predictions.get(queue.name)
    foreseen = None if said is None else said.p95_seconds
    return facts.are_old or is_late(queue) or foreseen is None or foreseen > queue.sla_seconds


def _any_may_be_late(facts: Facts) -> bool:
    return not facts.queues or any(_may_be_late(queue, facts) for queue in facts.queues if not queue.paused)


def is_over(rule: Rule, subject: str, facts: Facts) -> bool:
    """Whether what this rule says of a queue, or without a subject of several, is surely true no more."""
    queues = [queue for queue in facts.queues if not subject or queue.name == subject]
    if not queues or facts.are_old:
        return False
    if rule is Rule.NO_WORKER:
        return all(queue.consumers for queue in queues)
    return rule in (Rule.BACKLOG_OLD, Rule.SLA_AT_RISK) and not any(_may_be_late(queue, facts) for queue in queues)


def _within_target(queues: Sequence[QueueFigures], alert: Alert) -> dict[str, object]:
    names = [one(LinkKind.QUEUE, queue.name) for queue in queues]
    verb = "is" if len(queues) == 1 else "are"
    return _again(words(*listed(names), f" {verb} within the target again."), alert)


def _again(parts: Words, alert: Alert) -> dict[str, object]:
    """That all is well again, of which an alert still tells."""
    return {
        "parts": parts,
        "being_done": words("Its alert ends once that has been so for some seconds."),
        "remedies": (Remedy(NOTHING_TO_DO, Link(LinkKind.DOCUMENT, alert.documentation)),),
    }


def _stuck(queue: QueueFigures, running: Iterable[RunningNow]) -> RunningNow | None:
    """What holds the processes of a queue for much longer than usual."""
    if not queue.consumers or queue.service_rate * 60 > queue.arrival_rate * 60 > 0:
        return None
    for found in running:
        seconds = found.longest_seconds
        if seconds is not None and seconds > _LONG * (found.usual_p95_seconds or queue.sla_seconds / _LONG):
            return found
    return None


def _busy_with(queue: QueueFigures, stuck: RunningNow) -> Iterator[str | Part]:
    seconds = stuck.longest_seconds or 0.0
    usual = "" if stuck.usual_p95_seconds is None else f" (usual p95 {short_span(stuck.usual_p95_seconds)})"
    only = queue.consumers == 1
    yield one(LinkKind.QUEUE, queue.name)
    yield (
        ": its one process has been busy"
        if only
        else f": {stuck.tasks:,} of its {queue.consumers:,} processes have been busy"
    )
    yield f" for {span(seconds)} with " if only else f" for up to {span(seconds)} with "
    yield (
        stuck.task_type if stuck.longest_task_id is None else one(LinkKind.TASK, stuck.longest_task_id, stuck.task_type)
    )
    if stuck.longest_share is not None:
        yield f", {100 * stuck.longest_share:.0f} % done"
    yield f"{usual}; {number(queue.depth, 'task')} {'waits' if queue.depth == 1 else 'wait'} behind it."


def _rates(queue: QueueFigures) -> Iterator[str | Part]:
    yield one(LinkKind.QUEUE, queue.name)
    waiting = f"{number(queue.depth, 'task')} {'waits' if queue.depth == 1 else 'wait'}"
    yield f": {waiting if queue.depth else 'nothing waits now'}"
    yield f", {per(queue.arrival_rate)} come and {per(queue.service_rate)} go"
    if queue.service_rate > 0 and queue.depth:
        yield f"; at that rate those are started in {span(queue.depth / queue.service_rate)}"
    yield "."


def _of_late(queues: Sequence[QueueFigures], first: QueueFigures, facts: Facts, *, is_stuck: bool) -> Iterator[Words]:
    for queue in queues[:_MOST_QUEUES]:
        if is_late(queue):
            yield words(
                one(LinkKind.QUEUE, queue.name), f" is {over(queue.oldest_wait_seconds or 0.0, queue.sla_seconds)}."
            )
    mix = facts.mixes.get(first.name)
    if mix is not None:
        yield from _in_common(mix, facts)
    needed = None if is_stuck else _needed(first)
    if needed is not None:
        yield words(f"To keep up with what comes it takes {needed:,} processes; it has {first.consumers or 0:,}.")
    said = facts.predictions.get(first.name)
    if said is not None and said.p95_seconds is not None:
        yield words(f"A task submitted now starts within {span(said.p95_seconds)} (95 %).")


def _in_common(mix: Mix, facts: Facts) -> Iterator[Words]:
    said: list[str | Part] = []
    if mix.task_type is not None and mix.type_share >= _MOST:
        said += [f"{100 * mix.type_share:.0f} % of what waits are ", one(LinkKind.TASK_TYPE, mix.task_type)]
    if mix.tag is not None and mix.tag_share >= _MOST:
        name = ":".join(mix.tag)
        link = Link(LinkKind.TASKS, filter={"state": "queued", "tag": name})
        said += [", " if said else "", f"{100 * mix.tag_share:.0f} % have the tag ", Part(name, link)]
    seconds = (mix.submitted_to - mix.submitted_from).total_seconds()
    if said and seconds <= _BURST_SECONDS:
        said.append(f", submitted within {span(max(seconds, 1.0))} at {moment(mix.submitted_from, facts.now)}")
    if said:
        yield words(*said, f" (by the first {mix.looked_at:,}).")


def _needed(queue: QueueFigures) -> int | None:
    """How many processes would keep up with what comes."""
    if not queue.consumers or not queue.service_rate or queue.arrival_rate <= queue.service_rate:
        return None
    return math.ceil(queue.arrival_rate / (queue.service_rate / queue.consumers))


def _remedies(queue: QueueFigures, facts: Facts, stuck: RunningNow | None) -> Iterator[Remedy]:
    if stuck is not None and stuck.longest_task_id is not None:
        yield Remedy("Cancel it if it hangs.", Link(LinkKind.TASK, stuck.longest_task_id), act="cancel_task")
    mix = facts.mixes.get(queue.name)
    if mix is not None and mix.tag is not None and mix.tag_share >= _MOST:
        wanted = {"state": "queued", "queue": queue.name, "tag": ":".join(mix.tag)}
        yield Remedy("Cancel what has that tag.", Link(LinkKind.TASKS, filter=wanted), act="cancel_tasks")
    yield Remedy(
        "Start more workers.",
        Link(LinkKind.DOCUMENT, REMEDIES[Why.ALL_BUSY].page),
        f"celery -A pointsman worker -Q {queue.name}",
    )
    yield Remedy("Pause it, so that nothing of it starts.", Link(LinkKind.QUEUE, queue.name), act="pause_queue")


def burning(alert: Alert, facts: Facts) -> dict[str, object]:
    """What is told of starts that missed their target, whatever waits now."""
    queues = [queue for queue in facts.queues if queue.name == alert.subject]
    link = Link(LinkKind.QUEUE, alert.subject) if queues else Link(LinkKind.QUEUES)
    said: dict[str, object] = {"parts": words(Part(alert.summary, link))}
    if any(_may_be_late(queue, facts) for queue in queues) or (not queues and _any_may_be_late(facts)):
        waiting = tuple(words(*pieces) for queue in queues if (pieces := waits(queue)))
        return said | {"consequences": waiting}
    now = words(one(LinkKind.QUEUE, alert.subject), " is within its target now.") if queues else words(_ALL_WITHIN)
    lasts = "five minutes" if alert.rule == Rule.SLA_FAST_BURN else "half hour"
    return (
        _again(now, alert)
        | said
        | {
            "consequences": (now,),
            "being_done": words(f"Its alert ends once few starts of the last {lasts} have missed it."),
        }
    )


def paused(queue: QueueFigures, facts: Facts) -> Cause:
    """That somebody paused a queue."""
    page = REMEDIES[Why.QUEUE_PAUSED].page
    at = queue.paused_at
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    behind = waits(queue)
    forgotten = at is not None and (facts.now - at).total_seconds() > _FORGOTTEN_SECONDS and is_late(queue)
    return Cause(
        severity=Urgency.TICKET if forgotten else Urgency.NOTICE,
        kind=PAUSED,
        subject=queue.name,
        since=at,
        parts=words(
            one(LinkKind.QUEUE, queue.name), f" is paused{since(at, facts.now)}{by}{quoted(queue.pause_reason)}."
        ),
        consequences=(words(*behind),) if behind else (words("Nothing waits behind it."),),
        being_done=words("Nothing starts until somebody resumes it."),
        remedies=(Remedy("Resume it when the reason is over.", Link(LinkKind.QUEUE, queue.name), act="resume_queue"),),
        documentation=page,
    )


def unknown_type(alert: Alert, facts: Facts, plain: Cause) -> dict[str, object]:
    """What is told of a task type that no node of its queue knows."""
    task_type, _, queue = alert.subject.rpartition("@")
    if not task_type:
        return {}
    held = int(alert.value or 0)
    wanted = {"state": "held", "task_type": task_type, "queue": queue, "held_reason": UNKNOWN_TASK_TYPE}
    nodes = [one(LinkKind.WORKER, node.name) for node in facts.nodes.get(queue, ()) if node.live]
    said = [
        words(one(LinkKind.QUEUE, queue), " is served by ", *listed(nodes), "; no node there has the task.")
        if nodes
        else words(one(LinkKind.QUEUE, queue), " has no live worker.")
    ]
    publisher = facts.publishers.get(task_type)
    if publisher is not None:
        node = "a node that is not known any more" if publisher.name is None else publisher.name
        seen = publisher.last_seen_at
        gone = "" if seen is None else f", which was last seen {moment(seen, facts.now)}"
        said.append(words(f"It was last published by {node} at {moment(publisher.published_at, facts.now)}{gone}."))
    else:
        said.append(words("No node ever published it."))
    cancel = Remedy("Cancel them, if no worker will have it.", Link(LinkKind.TASKS, filter=wanted), act="cancel_tasks")
    return {
        "remedies": (*plain.remedies, cancel),
        "parts": words(
            Part(number(held, "task", capped=held >= 1000), Link(LinkKind.TASKS, filter=wanted)),
            " is held: no live node of " if held == 1 else " are held: no live node of ",
            one(LinkKind.QUEUE, queue),
            " knows ",
            one(LinkKind.TASK_TYPE, task_type),
            f"{since(alert.since, facts.now)}.",
        ),
        "consequences": tuple(said),
        "being_done": words("They go on by themselves once a worker of the queue has it; no attempt is lost."),
    }

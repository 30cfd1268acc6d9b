"""Sentences about the installation: its servers, and the roles of the control plane. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from pointsman_contract.states import TaskState
from pointsman_service.alert.alert import Alert
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.now.facts import Away, Facts
from pointsman_service.now.picture import Cause, Link, LinkKind, Part, Remedy, Urgency, Words
from pointsman_service.now.words import NOTHING_TO_DO, number, since, size, words
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.spans import span

ROLES = {
    "recorder": Rule.NO_RECORDER,
    "dispatcher": Rule.NO_DISPATCHER,
    "reconciler": Rule.NO_RECONCILER,
}
_READY = Link(LinkKind.READINESS)
_DONE = {
    Rule.NO_RECORDER: "Nothing is lost: what workers report is kept in Redis and written down once one runs.",
    Rule.NO_DISPATCHER: "Nothing is lost: what waits is sent once one runs.",
    Rule.NO_RECONCILER: "Nothing is lost: what is due is started once one runs.",
}
_STAND_STILL = "delays, retries, rescues and worker states stand still"


def cause_of(rule: Rule, facts: Facts, alert: Alert | None) -> Cause:
    """What is wrong with the installation, by its rule; ``alert``: the one about it, if there is one."""
    kind = KINDS[rule]
    return Cause(
        severity=Urgency(kind.severity) if alert is None else Urgency(alert.severity),
        kind=str(rule),
        subject="",
        since=_since(rule, facts, alert),
        parts=_PARTS[rule](facts, alert),
        consequences=tuple(_consequences(rule, facts)),
        being_done=_being_done(rule),
        remedies=(Remedy(_next_step(rule, facts), Link(LinkKind.DOCUMENT, kind.page), _command(rule)),),
        documentation=kind.page,
    )


def _next_step(rule: Rule, facts: Facts) -> str:
    step = KINDS[rule].next_step
    if rule is Rule.BROKER_AWAY and facts.database is not None:
        # No task is accepted meanwhile.
        return f"{step.partition(';')[0]}."
    return step


def direct(facts: Facts) -> Iterator[Rule]:
    """What is seen to be wrong now, whether there is an alert yet or not."""
    if facts.database is not None:
        yield Rule.DATABASE_AWAY
    if facts.broker is not None:
        yield Rule.BROKER_AWAY
    elif facts.memory_percent is not None and facts.memory_percent >= facts.full_percent:
        yield Rule.BROKER_FULL
    if facts.database is None:
        yield from (rule for role, rule in ROLES.items() if facts.lacks(role))


def is_over(rule: Rule, facts: Facts) -> bool:
    """Whether what is not seen to be wrong (``direct``) is known not to be."""
    if facts.database is not None:
        return False
    if rule is Rule.BROKER_FULL:
        return facts.broker is None and facts.memory_percent is not None
    role = next((role for role, of in ROLES.items() if of is rule), None)
    return role is None or role in facts.unled


def over(rule: Rule, plain: Cause) -> Cause:
    """What was wrong, and of which an alert still tells."""
    return replace(
        plain,
        parts=words(Part(KINDS[rule].was, _READY), "; that is over."),
        being_done=words("Its alert ends once it has been over for some seconds."),
        remedies=(Remedy(NOTHING_TO_DO, Link(LinkKind.DOCUMENT, plain.documentation)),),
    )


def _since(rule: Rule, facts: Facts, alert: Alert | None) -> datetime | None:
    away = {Rule.DATABASE_AWAY: facts.database, Rule.BROKER_AWAY: facts.broker}.get(rule)
    known = [at for at in (None if away is None else away.since, None if alert is None else alert.since) if at]
    if known:
        return min(known)
    role = next((role for role, of in ROLES.items() if of is rule), None)
    return None if role is None else facts.unled_since(role)


def _command(rule: Rule) -> str | None:
    role = next((role for role, of in ROLES.items() if of is rule), None)
    return None if role is None else f"python -m pointsman_service {role}"


def _database(facts: Facts, _: Alert | None) -> Words:
    away = facts.database or Away(None, "")
    why = f" ({away.reason})" if away.reason else ""
    return words(
        Part("PostgreSQL does not answer", _READY),
        f"{since(away.since, facts.now)}{why}: submissions are refused (503), and nothing is written down.",
    )


def _broker(facts: Facts, alert: Alert | None) -> Words:
    away = facts.broker or Away(None if alert is None else alert.since, "")
    why = f" ({away.reason})" if away.reason else ""
    taken = sum(queue.depth for queue in facts.queues)
    what = f"{number(taken, 'task')} {'is' if taken == 1 else 'are'} taken and {'waits' if taken == 1 else 'wait'}"
    said = f"{what}, nothing starts." if taken else f"{sentences.NOTHING_STARTS}."
    if facts.database is not None:
        # What is submitted is refused meanwhile.
        said = "nothing starts."
    return words(Part("Redis is away", _READY), f"{since(away.since, facts.now)}{why}: {said}")


def _full(facts: Facts, alert: Alert | None) -> Words:
    known = facts.memory_percent if alert is None or alert.value is None else int(alert.value)
    percent = known if facts.memory_percent is None else facts.memory_percent
    return words(
        Part("Redis is full", _READY),
        f": {percent} % of its memory is used. Nothing is sent above {facts.full_percent} %, and nothing starts above"
        " gate_memory_percent (85 % by default).",
    )


def _no_recorder(facts: Facts, _: Alert | None) -> Words:
    old = facts.unled.get("recorder", 0.0) if facts.lag_seconds is None else facts.lag_seconds
    age = f"Figures are {span(old)} old" if old > 0 else "Figures are old"
    return words(Part(age, _READY), ": no recorder runs", _how_long("recorder", facts), ".")


def _no_dispatcher(facts: Facts, _: Alert | None) -> Words:
    return words(
        Part("No dispatcher runs", _READY), f"{_how_long('dispatcher', facts)}: {sentences.without('dispatcher')}."
    )


def _no_reconciler(facts: Facts, _: Alert | None) -> Words:
    return words(Part("No reconciler runs", _READY), f"{_how_long('reconciler', facts)}: {_STAND_STILL}.")


def _how_long(role: str, facts: Facts) -> str:
    return since(facts.unled_since(role), facts.now)


def _consequences(rule: Rule, facts: Facts) -> Iterator[Words]:
    if rule is Rule.DATABASE_AWAY and facts.broker is None:
        runs = len(facts.worked)
        if runs:
            yield words(f"Workers run {number(runs, 'task')} now, and go on with what was sent.")
        else:
            yield words("Workers run nothing now; what was sent goes on.")
    if rule is Rule.DATABASE_AWAY:
        yield words("States, queues, counters and breakers are not known until it is back.")
    if rule is Rule.BROKER_AWAY:
        yield words("Queues and workers are shown as they were then; whether a worker lives is not known.")
    if rule is Rule.BROKER_FULL:
        for part in facts.memory:
            yield words(f"{part.what} take {size(part.size)}.")
        waiting = sum(queue.depth for queue in facts.queues)
        if waiting:
            yield words(f"{number(waiting, 'task')} {'waits' if waiting == 1 else 'wait'}.")
    if rule is Rule.NO_RECORDER:
        yield words("What is shown may be over by now, and what began since is not shown.")
    if rule is Rule.NO_RECONCILER:
        for state in (TaskState.SCHEDULED, TaskState.RETRYING):
            tasks = sum(queue.states.get(state, 0) for queue in facts.queues)
            if tasks:
                link = Link(LinkKind.TASKS, filter={"state": str(state)})
                yield words(
                    Part(number(tasks, "task"), link),
                    f" {'is' if tasks == 1 else 'are'} {state}, and not woken when due.",
                )


def _being_done(rule: Rule) -> Words:
    if rule is Rule.DATABASE_AWAY:
        return words("It is asked again every second; callers that got a 503 may try again.")
    if rule is Rule.BROKER_AWAY:
        return words("It is asked again all the time; what was taken is sent once it is back.")
    if rule is Rule.BROKER_FULL:
        return words("What is submitted is taken and waits; it is sent by itself once there is room.")
    return words(_DONE.get(rule, ""))


_PARTS = {
    Rule.DATABASE_AWAY: _database,
    Rule.BROKER_AWAY: _broker,
    Rule.BROKER_FULL: _full,
    Rule.NO_RECORDER: _no_recorder,
    Rule.NO_DISPATCHER: _no_dispatcher,
    Rule.NO_RECONCILER: _no_reconciler,
}

"""From open alerts, and what is seen to be wrong beside them, to what is said. Pure.

There is one sentence for each cause, with what it leads to beneath it: which alert is only a consequence of which
other, ``alert.causes`` knows. What is seen before there is an alert of it is a cause at once, so that the first page
does not wait until an alert is sure enough to wake somebody.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pointsman_service.alert.alert import Alert
from pointsman_service.alert.causes import RANK, Told, to_fold
from pointsman_service.alert.conditions import key_of
from pointsman_service.alert.kinds import KINDS, Rule, Severity
from pointsman_service.now import of_breakers, of_errors, of_queues, of_system
from pointsman_service.now.facts import Facts
from pointsman_service.now.picture import Acknowledged, Cause, Link, LinkKind, Part, Remedy, Urgency, Words
from pointsman_service.now.words import words

_LISTS = {
    "alerts": LinkKind.ALERTS,
    "breakers": LinkKind.BREAKERS,
    "dead-letters": LinkKind.DEAD_LETTERS,
    "errors": LinkKind.ERRORS,
    "queues": LinkKind.QUEUES,
    "set-aside-messages": LinkKind.SET_ASIDE,
    "tasks": LinkKind.TASKS,
    "workers": LinkKind.WORKERS,
}
_ONE = {
    "breakers": LinkKind.BREAKER,
    "errors": LinkKind.ERROR,
    "queues": LinkKind.QUEUE,
}
_ORDER = {severity: place for place, severity in enumerate(Urgency)}
_BREAKERS = (Rule.BREAKER_OPEN_LONG, Rule.BREAKER_OPEN)
_SYSTEM = frozenset(
    {
        Rule.DATABASE_AWAY,
        Rule.BROKER_AWAY,
        Rule.BROKER_FULL,
        Rule.NO_RECORDER,
        Rule.NO_DISPATCHER,
        Rule.NO_RECONCILER,
    }
)
_LATE = frozenset({Rule.BACKLOG_OLD, Rule.SLA_AT_RISK})
_BURNS = frozenset({Rule.SLA_FAST_BURN, Rule.SLA_SLOW_BURN})
_INTO: Mapping[str, tuple[Rule, ...]] = {
    Rule.SLA_AT_RISK: (Rule.BACKLOG_OLD,),
    **dict.fromkeys(_BURNS, (Rule.BACKLOG_OLD, Rule.SLA_AT_RISK)),
}
"""By the rule of an alert, those whose alert of the same queue tells what it comes from, if there is one."""
_ALSO: Mapping[Rule, str] = {
    Rule.NO_RECORDER: "no recorder runs",
    Rule.NO_DISPATCHER: "no dispatcher runs",
    Rule.NO_RECONCILER: "no reconciler runs",
    Rule.RECORDER_BEHIND: "what workers report is written down late",
    Rule.STREAM_LONG: "reports of workers pile up",
    Rule.DISPATCHER_BEHIND: "tasks wait unsent",
    Rule.NO_WORKER: "no worker is seen",
    Rule.BREAKER_OPEN: "a circuit breaker is open",
    Rule.BACKLOG_OLD: "tasks wait for longer than their target",
    Rule.SLA_AT_RISK: "tasks will miss their target",
    Rule.SLA_FAST_BURN: "many starts have missed their target",
    Rule.SLA_SLOW_BURN: "too many starts of the last hours have missed their target",
    Rule.WORKER_LOST: "a worker fell silent",
    Rule.DEAD_LETTERS: "tasks fail for good",
    Rule.ERROR_BACK: "an earlier error is back",
    Rule.ERROR_NEW: "a new error has appeared",
    Rule.BROKER_MEMORY: "Redis fills up",
}
"""What a consequence is called beneath its cause."""
_ALSO_OVER: Mapping[Rule, str] = {
    Rule.NO_WORKER: "no worker was seen",
    Rule.BACKLOG_OLD: "tasks waited for longer than their target",
    Rule.SLA_AT_RISK: "tasks were about to miss their target",
}
"""The same of what is true no more, though its alert is still open."""
_OF_ERRORS = frozenset({Rule.ERROR_BACK, Rule.ERROR_NEW})
_MOST_ALSO = 5


@dataclass(frozen=True, slots=True)
class _Found:
    """A cause, while it may turn out to be what another one leads to."""

    cause: Cause
    also: frozenset[str] = frozenset()
    """The keys of what its alert names beside it."""
    opened_at: float = 0.0

    def with_(self, key: str, other: "_Found") -> "_Found":
        """With one that is only what it leads to."""
        ids = self.cause.alert_ids + other.cause.alert_ids
        return replace(self, cause=replace(self.cause, alert_ids=ids), also=self.also | other.also | {key})

    @property
    def told(self) -> Told:
        """As ``alert.causes`` knows it."""
        since = self.opened_at if self.cause.since is None else self.cause.since.timestamp()
        severity = Severity.PAGE if self.cause.severity is Urgency.PAGE else Severity.TICKET
        return Told(Rule(self.cause.kind), self.cause.subject, severity, since, self.opened_at)


def causes_of(facts: Facts) -> tuple[Cause, ...]:
    """Everything that is wrong, the worst first, each once."""
    found = _found(facts)
    folded = to_fold([one.told for one in found.values() if one.cause.kind in RANK]) | _stale(found)
    for key, into in folded.items():
        found[into] = found[into].with_(key, found[key])
    causes = [_with_also(one, facts) for key, one in found.items() if key not in folded]
    return worst_first([*causes, *(of_queues.paused(queue, facts) for queue in facts.queues if queue.paused)])


def worst_first(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """In the order of reading: by who has to know, then causes before what they may lead to."""
    return tuple(sorted(causes, key=lambda one: (_ORDER[one.severity], RANK.get(one.kind, len(RANK)), one.subject)))


def _found(facts: Facts) -> dict[str, _Found]:
    """By key, everything that is wrong."""
    alerts = {alert.key: alert for alert in facts.alerts}
    found: dict[str, _Found] = {}
    for rule in of_system.direct(facts):
        alert = alerts.pop(str(rule), None)
        found[str(rule)] = _known(of_system.cause_of(rule, facts, alert), facts, alert)
    for tripped in facts.breakers:
        keys = [key_of(rule, of_breakers.key_of(tripped)) for rule in _BREAKERS]
        own = [alerts.pop(key) for key in keys if key in alerts]
        cause = of_breakers.cause_of(tripped, facts, own[0] if own else None)
        found[key_of(cause.kind, cause.subject)] = _known(cause, facts, *own)
    paired = _pairs(alerts) | _same_errors(alerts, facts)
    for key, alert in alerts.items():
        if key not in paired:
            found[key] = _known(of_alert(alert, facts), facts, alert)
    for key, into in paired.items():
        found[into] = replace(found[into], cause=_with_paired(found[into].cause, alerts[key]))
    return found


def _with_paired(cause: Cause, alert: Alert) -> Cause:
    """A cause of which another alert tells, too: as urgent as either."""
    more: tuple[Words, ...] = (words(alert.summary),) if alert.rule in _BURNS else ()
    remedies = cause.remedies
    if alert.rule in _OF_ERRORS:
        more, remedies = of_errors.beneath(alert, cause)
    return replace(
        cause,
        severity=min(cause.severity, Urgency(alert.severity), key=lambda one: _ORDER[one]),
        consequences=cause.consequences + more,
        remedies=remedies,
        alert_ids=(*cause.alert_ids, alert.id),
    )


def _pairs(alerts: Mapping[str, Alert]) -> dict[str, str]:
    """That tasks of a queue will be late, that they are, and that many were, is one cause: by key, the key of that one,
    which says what they wait for.
    """
    found: dict[str, str] = {}
    for key, alert in alerts.items():
        into = [key_of(rule, alert.subject) for rule in _INTO.get(alert.rule, ())]
        there = next((one for one in into if one in alerts), None)
        if there is not None:
            found[key] = there
    return found


def _same_errors(alerts: Mapping[str, Alert], facts: Facts) -> dict[str, str]:
    """That an error is new, or back again, and that many tasks of its type failed so for good, is one cause: by key,
    the key of that one, which says what they fail with.
    """
    found: dict[str, str] = {}
    for key, alert in alerts.items():
        blamed, mark, group = alert.subject.rpartition("#")
        task_type = blamed.partition(":")[2]
        failing = facts.failing.get(task_type) if alert.rule in _OF_ERRORS and mark else None
        into = key_of(Rule.DEAD_LETTERS, task_type)
        if failing is not None and str(failing[1].id) == group and into in alerts:
            found[key] = into
    return found


def _known(cause: Cause, facts: Facts, *alerts: Alert | None) -> _Found:
    """The cause with its alerts: their ids, who knows of them, and what they name beside."""
    there = [alert for alert in alerts if alert is not None]
    known = next((alert.acknowledged for alert in there if alert.acknowledged is not None), None)
    said = None if known is None else Acknowledged(known.at, known.who, known.reason)
    opened = min((alert.opened_at for alert in there), default=facts.now).timestamp()
    also = frozenset(key for alert in there for key in alert.also)
    return _Found(replace(cause, alert_ids=tuple(alert.id for alert in there), acknowledged=said), also, opened)


def of_alert(alert: Alert, facts: Facts) -> Cause:
    """What an alert says, with what is known beside it."""
    plain = Cause(
        severity=Urgency(alert.severity),
        kind=alert.rule,
        subject=alert.subject,
        since=alert.since,
        parts=words(Part(alert.summary, link_of(alert.link))),
        remedies=(Remedy(alert.next_step, Link(LinkKind.DOCUMENT, alert.documentation)),) if alert.next_step else (),
        documentation=alert.documentation,
    )
    if alert.rule not in RANK:
        # Of a rule of another release.
        return plain
    rule = Rule(alert.rule)
    if rule in _SYSTEM:
        return of_system.over(rule, plain) if of_system.is_over(rule, facts) else plain
    if rule in _BREAKERS and of_breakers.has_closed(alert.subject, facts):
        return of_breakers.closed(alert, plain)
    return replace(plain, **_more(rule, alert, facts, plain))


def _more(rule: Rule, alert: Alert, facts: Facts, plain: Cause) -> dict[str, Any]:
    if rule is Rule.NO_WORKER:
        return of_queues.no_worker(alert, facts, plain)
    if rule in _LATE:
        return of_queues.late(alert, facts)
    if rule in _BURNS:
        return of_queues.burning(alert, facts)
    if rule is Rule.DEAD_LETTERS:
        return of_errors.dead_letters(alert, facts, plain)
    if rule in (Rule.ERROR_NEW, Rule.ERROR_BACK):
        return of_errors.news(alert, facts, plain)
    if rule is Rule.UNKNOWN_TASK_TYPE:
        return of_queues.unknown_type(alert, facts, plain)
    return {"being_done": words(_DONE[rule])} if rule in _DONE else {}


_DONE: Mapping[Rule, str] = {
    Rule.WORKER_LOST: "What it ran is sent again once it counts as dead; that is no attempt of its budget.",
    Rule.RECORDER_BEHIND: "It is written down in order; nothing is lost.",
    Rule.STREAM_LONG: "They are written down in order; nothing is lost.",
    Rule.MESSAGES_SET_ASIDE: "They are kept until somebody discards them.",
}


def _stale(found: Mapping[str, _Found]) -> dict[str, str]:
    """While PostgreSQL is away no alert is of now, and all that is wrong is told with that."""
    away = str(Rule.DATABASE_AWAY)
    return {key: away for key in found if key not in (away, str(Rule.BROKER_AWAY))} if away in found else {}


def _with_also(one: _Found, facts: Facts) -> Cause:
    return replace(one.cause, consequences=one.cause.consequences + tuple(_also(one.also, one.cause, facts)))


def _also(keys: frozenset[str], cause: Cause, facts: Facts) -> Iterator[Words]:
    """The other things that are wrong because of it, by rule; then those that were and are not any more."""
    by_rule: dict[Rule, list[str]] = {}
    for key in keys:
        rule, _, about = key.partition(":")
        if rule in RANK:
            by_rule.setdefault(Rule(rule), []).append(about)
    for rule in sorted(by_rule, key=lambda one: RANK[one]):
        if rule in _BURNS and cause.kind in _BURNS and by_rule[rule] == [cause.subject]:
            hours = "six hours" if rule is Rule.SLA_SLOW_BURN else "hour"
            yield words(f"Too many of the last {hours} have missed it, too.")
            continue
        over = [about for about in by_rule[rule] if of_queues.is_over(rule, about, facts)]
        still = [about for about in by_rule[rule] if about not in over]
        if still:
            said = Part(_ALSO.get(rule, KINDS[rule].was), _errors(rule, still))
            yield words("Because of it ", said, f"{_named(still, cause.subject)}.")
        if over:
            yield words(f"Because of it {_ALSO_OVER[rule]}{_named(over, cause.subject)}; that is over.")


def _named(subjects: Sequence[str], own: str) -> str:
    """Of an error group what it is told of, without its id: of this cause (``own``) it needs no name."""
    told = (subject.partition("#") for subject in subjects)
    names = sorted({name for name, mark, _ in told if name and not (mark and name == own)})
    named = ", ".join(names[:_MOST_ALSO]) + (", …" if len(names) > _MOST_ALSO else "")
    return f": {named}" if named else ""


def _errors(rule: Rule, subjects: list[str]) -> Link | None:
    """Where the groups are that an alert of this rule is about, if they are what it is about."""
    if rule not in _OF_ERRORS:
        return None
    ids = {subject.rpartition("#")[2] for subject in subjects}
    return Link(LinkKind.ERROR, ids.pop()) if len(ids) == 1 else Link(LinkKind.ERRORS)


def link_of(path: str) -> Link:
    """The object behind a path of the API."""
    found = urlsplit(path)
    _, version, *rest = found.path.split("/")
    room, *name = map(unquote, rest) if version == "v1" and rest else ("",)
    if name and room in _ONE:
        return Link(_ONE[room], ":".join(name))
    if not name and room in _LISTS:
        return Link(_LISTS[room], filter=dict(parse_qsl(found.query)))
    return Link(LinkKind.READINESS)

"""Which alerts are only what another one leads to. Pure: one cause is told once, with its remedy.

A consequence is not told of its own while its cause is wrong, or is suspected to be, nor for a while after that:
whoever catches up is late for as long again. The alert of its cause names it. If it goes on after that it is told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pointsman_service.alert.conditions import Condition, key_of, severity_of
from pointsman_service.alert.kinds import Rule, Severity


class Of(Enum):
    """What of a consequence a cause explains."""

    ALL = "all"
    SAME = "same"
    """That of the same subject: a queue, a breaker, a task type."""


_LATE: Mapping[Rule, Of] = {
    Rule.BACKLOG_OLD: Of.ALL,
    Rule.SLA_AT_RISK: Of.ALL,
    Rule.SLA_FAST_BURN: Of.ALL,
    Rule.SLA_SLOW_BURN: Of.ALL,
}
_LATE_THERE: Mapping[Rule, Of] = dict.fromkeys(_LATE, Of.SAME)
_ERRORS: Mapping[Rule, Of] = {Rule.ERROR_BACK: Of.SAME, Rule.ERROR_NEW: Of.SAME}
_RECORDER: Mapping[Rule, Of] = {Rule.RECORDER_BEHIND: Of.ALL, Rule.STREAM_LONG: Of.ALL}
_SILENT: Mapping[Rule, Of] = dict.fromkeys((Rule.NO_WORKER, Rule.WORKER_EJECTED, Rule.WORKER_LOST), Of.ALL)

LEADS_TO: Mapping[Rule, Mapping[Rule, Of]] = {
    Rule.DATABASE_AWAY: {
        Rule.NO_RECORDER: Of.ALL,
        Rule.NO_DISPATCHER: Of.ALL,
        Rule.NO_RECONCILER: Of.ALL,
        Rule.DISPATCHER_BEHIND: Of.ALL,
        **_RECORDER,
        **_LATE,
    },
    # Its memory is not known meanwhile: one that is full when it is back is so for a reason of its own.
    Rule.BROKER_AWAY: {
        Rule.DISPATCHER_BEHIND: Of.ALL,
        **_RECORDER,
        **_SILENT,
        **_LATE,
    },
    # Redis takes no beats either, once nothing fits in any more.
    Rule.BROKER_FULL: {Rule.BROKER_MEMORY: Of.ALL, Rule.DISPATCHER_BEHIND: Of.ALL, **_SILENT, **_LATE},
    Rule.BROKER_KEY: {Rule.DISPATCHER_BEHIND: Of.ALL, **_LATE_THERE},
    Rule.NO_RECORDER: {**_RECORDER, **_LATE},
    Rule.NO_DISPATCHER: {Rule.DISPATCHER_BEHIND: Of.ALL, **_LATE},
    # What is due later is woken late, and what was lost is sent again late.
    Rule.NO_RECONCILER: _LATE,
    Rule.RECORDER_BEHIND: {Rule.STREAM_LONG: Of.ALL, **_LATE},
    Rule.DISPATCHER_BEHIND: _LATE,
    Rule.NO_WORKER: {Rule.WORKER_LOST: Of.ALL, **_LATE_THERE},
    Rule.WORKER_EJECTED: _LATE_THERE,
    Rule.BREAKER_OPEN_LONG: {Rule.BREAKER_OPEN: Of.SAME, Rule.DEAD_LETTERS: Of.SAME, **_ERRORS},
    Rule.BREAKER_OPEN: {Rule.DEAD_LETTERS: Of.SAME, **_ERRORS},
    Rule.BACKLOG_OLD: {Rule.SLA_AT_RISK: Of.SAME, Rule.SLA_FAST_BURN: Of.SAME, Rule.SLA_SLOW_BURN: Of.SAME},
    Rule.SLA_FAST_BURN: {Rule.SLA_SLOW_BURN: Of.SAME},
}
"""By cause, the rules of its consequences. A page is never held back by a ticket."""

CAUSES = tuple(LEADS_TO)
RANK: Mapping[str, int] = {str(rule): place for place, rule in enumerate(Rule)}
"""The order in which alerts are read: causes first."""

_CATCH_UP_SECONDS = 60.0
_LONGEST_CATCH_UP_SECONDS = 900.0
_SHORT_WINDOWS: Mapping[Rule, float] = {Rule.SLA_FAST_BURN: 300.0, Rule.SLA_SLOW_BURN: 1800.0}
"""The starts of so long are looked at: those missed by a cause are among them for so long."""
_COME_BACK = frozenset(
    {
        Rule.NO_RECORDER,
        Rule.NO_DISPATCHER,
        Rule.NO_RECONCILER,
        Rule.NO_WORKER,
        Rule.WORKER_EJECTED,
        Rule.WORKER_LOST,
    }
)
"""Processes are back soon after their cause is over, however long that lasted, or they are gone."""
LONGEST_GRACE_SECONDS = _LONGEST_CATCH_UP_SECONDS + max(_SHORT_WINDOWS.values())
_SLACK_SECONDS = 5.0
"""A cause may be found so much later than its consequence."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert that is open, or was until lately. Times are seconds on one clock."""

    rule: Rule
    subject: str
    severity: Severity
    since: float
    opened_at: float
    resolved_at: float | None = None

    @property
    def key(self) -> str:
        """The cause."""
        return key_of(self.rule, self.subject)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Conditions by whether they are told of their own."""

    roots: tuple[Condition, ...]
    withheld: Mapping[str, str]
    """By the key of a condition that is only a consequence, the key of its cause."""


def grace_seconds(consequence: Rule, lasted: float) -> float:
    """So long after its cause a consequence may be the rest of it: as long as the cause lasted, a minute at least and
    a quarter of an hour at most, and what its window looks back. Of processes that should be back: a minute.
    """
    if consequence in _COME_BACK:
        return _CATCH_UP_SECONDS
    catch_up = min(max(lasted, _CATCH_UP_SECONDS), _LONGEST_CATCH_UP_SECONDS)
    return catch_up + _SHORT_WINDOWS.get(consequence, 0.0)


def sort_out(conditions: Sequence[Condition], told: Iterable[Told], now: float) -> Sorted:
    """Tell causes from consequences. Deterministic, whatever the order of either."""
    causes = _Causes(_causes(conditions, told, now))
    roots, withheld = [], {}
    for condition in conditions:
        cause = causes.of(condition.rule, condition.subject, severity_of(condition))
        if cause is None:
            roots.append(condition)
        else:
            withheld[condition.key] = cause
    return Sorted(tuple(roots), withheld)


def to_fold(told: Iterable[Told]) -> dict[str, str]:
    """By the key of an open alert that began in the course of an open cause, the key of that: it is told with it from
    now on. One that was there before has a cause of its own.
    """
    there = [one for one in told if one.resolved_at is None]
    causes = _Causes(_Cause(one.rule, one.subject, one.severity, since=one.since) for one in there)
    found = {one.key: causes.of(one.rule, one.subject, one.severity, one.opened_at) for one in there}
    return {key: cause for key, cause in found.items() if cause is not None}


@dataclass(frozen=True, slots=True)
class _Cause:
    rule: Rule
    subject: str
    severity: Severity
    since: float = float("-inf")
    over_seconds: float | None = None
    lasted: float = 0.0


class _Causes:
    """What may explain something, found by what it explains: a thousand breakers are not compared with one another."""

    def __init__(self, causes: Iterable[_Cause]) -> None:
        self._leading_to: dict[tuple[Rule, str], list[_Cause]] = {}
        for cause in causes:
            for rule, of in LEADS_TO.get(cause.rule, {}).items():
                subject = "" if of is Of.ALL else _what(cause.rule, cause.subject)
                self._leading_to.setdefault((rule, subject), []).append(cause)

    def of(self, rule: Rule, subject: str, severity: Severity, began_at: float | None = None) -> str | None:
        """The key of what explains it in the end: a cause of a cause is the cause of both. ``began_at``: only what was
        there by then.
        """
        candidates = [
            cause
            for about in {"", _what(rule, subject)}
            for cause in self._leading_to.get((rule, about), ())
            if _explains(cause, rule, severity) and (began_at is None or began_at >= cause.since - _SLACK_SECONDS)
        ]
        if not candidates:
            return None
        # One that is wrong now before one that is over, then the first in the order of reading.
        first = min(candidates, key=lambda cause: (cause.over_seconds is not None, RANK[cause.rule], cause.subject))
        return self.of(first.rule, first.subject, first.severity, began_at) or key_of(first.rule, first.subject)


def _what(rule: Rule, subject: str) -> str:
    if rule in _ERRORS:
        # Of an error that which its failures count for, and not which one it is.
        subject = subject.rpartition("#")[0] or subject
    return subject.removeprefix("task_type:")


def _causes(conditions: Iterable[Condition], told: Iterable[Told], now: float) -> Iterator[_Cause]:
    true = set()
    for condition in conditions:
        true.add(condition.rule)
        yield _Cause(condition.rule, condition.subject, severity_of(condition))
    for one in told:
        if not one.subject and one.rule in true:
            # It stands for several, and those that are wrong now are known one by one.
            continue
        if one.resolved_at is None:
            yield _Cause(one.rule, one.subject, one.severity)
        else:
            over, lasted = now - one.resolved_at, max(one.resolved_at - one.since, 0.0)
            yield _Cause(one.rule, one.subject, one.severity, over_seconds=over, lasted=lasted)


def _explains(cause: _Cause, rule: Rule, severity: Severity) -> bool:
    if cause.severity is Severity.TICKET and severity is Severity.PAGE:
        return False
    return cause.over_seconds is None or cause.over_seconds < grace_seconds(rule, cause.lasted)

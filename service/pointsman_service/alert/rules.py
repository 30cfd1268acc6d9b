"""From facts to conditions, pure: what is wrong now. Who opens and resolves alerts by it is
``pointsman_service.alert.sweep``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pointsman_contract.counted import counted
from pointsman_service.alert.causes import RANK, Told, sort_out, to_fold
from pointsman_service.alert.conditions import Condition, Limits, reaches
from pointsman_service.alert.facts import Facts, LostWorker, TrippedBreaker
from pointsman_service.alert.grouping import grouped, together
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.alert.queue_rules import (
    at_risk,
    backlogs,
    burns,
    dispatcher,
    several,
    unknown_types,
    without_worker,
)
from pointsman_service.alert.system_rules import (
    ROLE_RULES,
    broken_keys,
    broker,
    full,
    left_out,
    memory,
    recorder,
    roles,
    set_aside,
    stream,
)
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.spans import span

_TOGETHER = {
    Rule.NO_WORKER: "/v1/queues",
    Rule.WORKER_EJECTED: "/v1/workers",
    Rule.BACKLOG_OLD: "/v1/queues",
    Rule.SLA_AT_RISK: "/v1/queues",
    Rule.SLA_FAST_BURN: "/v1/queues",
    Rule.SLA_SLOW_BURN: "/v1/queues",
}
"""Rules whose conditions in several queues are one alert, and where to look."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, and of which rules nothing can be said: their alerts stay as they are."""

    conditions: tuple[Condition, ...]
    unknown: frozenset[Rule]
    withheld: tuple[Condition, ...] = ()
    """What is wrong as well, and only what another cause leads to."""
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the key of a cause, the keys of what it leads to now."""
    folded: Mapping[str, str] = field(default_factory=dict)
    """By the key of an open alert, the key of the open one that it is told with from now on."""


def judge(facts: Facts, limits: Limits, open_keys: Collection[str] = (), told: Sequence[Told] = ()) -> Judgement:
    """Every condition. Of causes in ``open_keys`` there is an alert already: they are judged by an easier limit.
    ``told`` are the open alerts, and those of causes that are over since a short time.
    """
    judged: list[tuple[tuple[Rule, ...], Iterable[Condition] | None]] = [
        ((Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG), _breakers(facts, limits)),
        ((Rule.SLA_FAST_BURN, Rule.SLA_SLOW_BURN), burns(facts, limits)),
        ((Rule.BACKLOG_OLD,), backlogs(facts)),
        ((Rule.SLA_AT_RISK,), at_risk(facts, open_keys)),
        ((Rule.NO_WORKER, Rule.WORKER_EJECTED), without_worker(facts, limits)),
        ((Rule.UNKNOWN_TASK_TYPE,), unknown_types(facts)),
        ((Rule.WORKER_LOST,), _lost(facts.lost_workers)),
        ((Rule.DEAD_LETTERS,), _dead_letters(facts, limits, open_keys)),
        ((Rule.ERROR_BACK, Rule.ERROR_NEW), _errors(facts)),
        (ROLE_RULES, roles(facts, limits)),
        ((Rule.RECORDER_BEHIND,), recorder(facts, limits, open_keys)),
        ((Rule.DISPATCHER_BEHIND,), dispatcher(facts, limits)),
        ((Rule.STREAM_LONG,), stream(facts, limits, open_keys)),
        ((Rule.EVENTS_LEFT_OUT,), left_out(facts)),
        ((Rule.MESSAGES_SET_ASIDE,), set_aside(facts)),
        ((Rule.BROKER_FULL,), full(facts, limits)),
        ((Rule.BROKER_MEMORY,), memory(facts, limits, open_keys)),
        ((Rule.BROKER_KEY,), broken_keys(facts)),
        ((Rule.BROKER_AWAY,), broker(facts)),
    ]
    # The database that these facts come from answers.
    unknown = {rule for rules, found in judged if found is None for rule in rules} | {Rule.DATABASE_AWAY}
    if not facts.breakers_complete:
        unknown |= {Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG}
    every = [one for _, found in judged if found is not None for one in found]
    by_cause = sort_out(every, told, facts.now)
    conditions, joined = _grouped(by_cause.roots, facts, limits, open_keys)
    keys = {one.key for one in conditions} | set(open_keys)
    also: dict[str, list[str]] = {}
    for key, cause in by_cause.withheld.items():
        # Its cause may be told together with others.
        also.setdefault(cause if cause in keys else cause.partition(":")[0], []).append(key)
    return Judgement(
        tuple(conditions),
        frozenset(unknown),
        tuple(one for one in every if one.key in by_cause.withheld),
        {cause: tuple(sorted(found)) for cause, found in also.items()},
        to_fold(told) | {key: into for key, into in joined.items() if into in open_keys},
    )


def _grouped(
    roots: Iterable[Condition], facts: Facts, limits: Limits, open_keys: Collection[str]
) -> tuple[list[Condition], dict[str, str]]:
    """The conditions with like ones told together, in the order of reading."""
    by_rule: dict[Rule, list[Condition]] = {}
    for one in roots:
        by_rule.setdefault(one.rule, []).append(one)
    conditions: list[Condition] = []
    joined: dict[str, str] = {}
    for rule, found in sorted(by_rule.items(), key=lambda pair: RANK[pair[0]]):
        if rule in _TOGETHER:
            told, into = together(rule, found, open_keys, several(rule, found), _TOGETHER[rule])
            conditions += told
            joined |= into
        elif rule in _MANY:
            what, link = _MANY[rule]
            complete = facts.breakers_complete or rule not in (Rule.BREAKER_OPEN, Rule.BREAKER_OPEN_LONG)
            what = what.format(long=span(limits.breaker_open_seconds))
            conditions += grouped(rule, found, open_keys, what, link, complete=complete)
        else:
            conditions += found
    return conditions, joined


_MANY = {
    Rule.BREAKER_OPEN: ("circuit breakers are open", "/v1/breakers"),
    Rule.BREAKER_OPEN_LONG: ("circuit breakers have not closed for {long}", "/v1/breakers"),
    Rule.UNKNOWN_TASK_TYPE: ("task types are known to no living worker of their queue", "/v1/tasks?state=held"),
    Rule.WORKER_LOST: ("workers fell silent without saying good-bye", "/v1/workers"),
    Rule.DEAD_LETTERS: (
        "task types have many tasks that failed for good within a quarter of an hour",
        "/v1/dead-letters",
    ),
    Rule.ERROR_BACK: ("errors are back again", "/v1/errors?state=open"),
    Rule.ERROR_NEW: ("errors are new", "/v1/errors?state=open"),
}
"""Rules whose conditions beyond the first ten are one alert: what is wrong with them, and where to look."""


def _breakers(facts: Facts, limits: Limits) -> Iterable[Condition] | None:
    if facts.breakers is None:
        return None
    return [one for breaker in facts.breakers for one in _breaker(breaker, facts.now, limits.breaker_open_seconds)]


def _breaker(breaker: TrippedBreaker, now: float, longest: float) -> Iterator[Condition]:
    subject = f"{breaker.scope}:{breaker.name}"
    link = f"/v1/breakers/{breaker.scope}/{quote(breaker.name, safe='')}"
    held = now - breaker.since
    by_hand = breaker.seen == "forced_open"
    yield Condition(
        Rule.BREAKER_OPEN,
        subject,
        sentences.breaker_open(breaker.scope, breaker.name, breaker.last_error, by_hand=by_hand),
        link,
        since=breaker.since,
    )
    if held >= longest:
        yield Condition(
            Rule.BREAKER_OPEN_LONG,
            subject,
            sentences.breaker_open_long(breaker.scope, breaker.name, held, breaker.last_error, by_hand=by_hand),
            link,
            since=breaker.since,
            value=round(held),
            limit=longest,
            unit="s",
            severity=Severity.TICKET if by_hand else None,
        )


def _lost(workers: tuple[LostWorker, ...] | None) -> Iterable[Condition] | None:
    if workers is None:
        return None
    return [
        Condition(
            Rule.WORKER_LOST,
            worker.name,
            sentences.worker_lost(worker.name),
            "/v1/workers",
        )
        for worker in workers
    ]


def _dead_letters(facts: Facts, limits: Limits, open_keys: Collection[str]) -> Iterable[Condition] | None:
    if facts.failed is None:
        return None
    found = [
        Condition(
            Rule.DEAD_LETTERS,
            task_type,
            f"{counted(failed, 'task')} of type {task_type} failed for good within a quarter of an hour."
            + _newest(facts.failures.get(task_type)),
            f"/v1/dead-letters?task_type={quote(task_type, safe='')}",
            value=failed,
            limit=limits.dead_letters,
            unit="tasks",
        )
        for task_type, failed in sorted(facts.failed.items())
    ]
    return [one for one in found if reaches(one, open_keys)]


_NEWS = {True: "again with an earlier", False: "with a new"}


def _errors(facts: Facts) -> Iterable[Condition] | None:
    if facts.errors is None:
        return None
    return [
        Condition(
            Rule.ERROR_BACK if error.is_back else Rule.ERROR_NEW,
            f"{error.blamed or f'task_type:{error.task_type}'}#{error.group}",
            f"{error.task_type} fails {_NEWS[error.is_back]} error: {error.words}.",
            f"/v1/errors/{error.group}",
            since=error.since,
        )
        for error in facts.errors
    ]


def _newest(failure: str | None) -> str:
    return "" if failure is None else f" The newest: {failure}."

"""Causes that lie in the installation: Redis, and the roles of the control plane."""

from datetime import datetime, timedelta

from pointsman_service.observe.explain import sentences
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import System
from pointsman_service.observe.explain.facts_around import BrokerFacts, RoleFacts
from pointsman_service.observe.explain.reasons import READY, reason

_MISSING = {
    "recorder": Cause.NO_RECORDER,
    "dispatcher": Cause.NO_DISPATCHER,
    "reconciler": Cause.NO_RECONCILER,
}


def broker(system: System, *, key_matters: bool = True) -> list[Reason]:
    """What keeps Redis from taking or giving tasks. ``key_matters``: whether a key of another type stands in the way
    of the queue in question.
    """
    facts = BrokerFacts(system.redis_reason or None, system.memory_percent, system.broken_keys)
    if system.redis_up is None:
        return []
    if not system.redis_up:
        said = sentences.broker_away(system.redis_reason)
        return [reason(Cause.BROKER_AWAY, said, facts, READY, clears_itself=False)]
    found = []
    if system.memory_percent is not None and system.memory_percent >= system.full_percent:
        said = sentences.broker_full(system.memory_percent)
        found.append(reason(Cause.BROKER_FULL, said, facts, READY, clears_itself=False))
    if key_matters and system.broken_keys:
        said = sentences.broker_key(*system.broken_keys)
        found.append(reason(Cause.BROKER_KEY, said, facts, READY, clears_itself=False))
    if system.in_census:
        said = (
            "Redis is another than before, and nothing is sent for some seconds: until living workers have said what"
            " they run."
        )
        found.append(reason(Cause.BROKER_CENSUS, said, facts, READY, clears_itself=True))
    return found


def role(system: System, name: str, now: datetime) -> list[Reason]:
    """That nobody has a role of the control plane."""
    if not system.lacks(name):
        return []
    assert system.unled is not None
    missing = system.unled[name]
    never = missing == float("inf")
    return [
        reason(
            _MISSING[name],
            sentences.no_role(name),
            RoleFacts(name, None if never else round(missing, 1), system.recorder_lag_seconds),
            READY,
            since=None if never else now - timedelta(seconds=missing),
            clears_itself=False,
        )
    ]


def recorder(system: System, now: datetime) -> list[Reason]:
    """That what workers report is not written down, or late: where a task is may be another than is shown."""
    found = role(system, "recorder", now)
    lag = system.recorder_lag_seconds
    if found or lag is None or lag < system.recorder_limit_seconds:
        return found
    return [
        reason(
            Cause.RECORDER_BEHIND,
            sentences.recorder_behind(lag),
            RoleFacts("recorder", 0.0, round(lag, 1)),
            READY,
            since=now - timedelta(seconds=lag),
        )
    ]

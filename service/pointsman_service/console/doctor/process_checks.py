"""Who leads, whether reports are written down, and which data of Redis counts. Pure."""

from collections.abc import Iterator, Mapping

from pointsman_contract.message import VERSION
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.console.doctor.finding import Finding, Unknown, fault, ok, unknown, warning
from pointsman_service.console.doctor.redis_facts import RedisFacts
from pointsman_service.console.doctor.service_facts import ServiceFacts
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.readiness import STALLED_SECONDS
from pointsman_service.observe.roles import LEADS, STAND_IN, LedRole
from pointsman_service.observe.spans import span
from pointsman_service.settings import Settings
from pointsman_service.store.leadership import Holder
from pointsman_service.store.streams.epochs import Epoch

_RULES: Mapping[LedRole, Rule] = {
    LedRole.DISPATCHER: Rule.NO_DISPATCHER,
    LedRole.RECORDER: Rule.NO_RECORDER,
    LedRole.RECONCILER: Rule.NO_RECONCILER,
}
_CENSUS_SLACK_SECONDS = 30.0


def leaders(facts: ServiceFacts | Unknown) -> list[Finding]:
    """Each role: by whom, and for how long that process has been there."""
    if isinstance(facts, Unknown):
        return [unknown(f"leaders.{role}", facts) for role in LedRole]
    return [leader(role, facts.holders.get(LEADS[role]), facts.holders.get(STAND_IN)) for role in LedRole]


def leader(role: LedRole, holder: Holder | None, stand_in: Holder | None = None) -> Finding:
    """One role."""
    check = f"leaders.{role}"
    if holder is not None and holder.left_seconds > 0:
        if holder.is_there or not holder.pid:
            return ok(check, f"{_who(holder)} leads")
        return warning(
            check,
            f"{_who(holder)} has the lead for {holder.left_seconds:.0f} s yet, and its connection is gone",
            "If it died, another one takes over within that time: look again.",
        )
    since = "" if holder is None else f" since {span(-holder.left_seconds)}"
    says = f"no {role} leads{since}: {sentences.without(role)}"
    if role is LedRole.RECONCILER and stand_in is not None and stand_in.left_seconds > 0:
        says += f"; {_who(stand_in)} looks after alerts and workers meanwhile"
    return fault(check, says, KINDS[_RULES[role]].next_step)


def _who(holder: Holder) -> str:
    if not holder.pid:
        return holder.holder or "nobody"
    said = f"process {holder.pid} on {holder.machine}"
    if holder.application:
        said += f" ({holder.application})"
    return said + ("" if holder.connected_seconds is None else f", there for {span(holder.connected_seconds)},")


def recorder(
    facts: ServiceFacts | Unknown, lag_seconds: float | None, entries: int | None, settings: Settings
) -> Finding:
    """How far the recorder is behind, and how many reports wait for it."""
    check = "recorder"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    if lag_seconds is None:
        return unknown(check, Unknown("Redis does not answer"))
    waiting = "" if not entries else f", {entries:,} entries in its stream"
    says = f"the oldest report that is not written down is {lag_seconds:.1f} s old{waiting}"
    silent = facts.recorded_seconds_ago
    if lag_seconds >= STALLED_SECONDS and (silent is None or silent >= STALLED_SECONDS):
        for_long = "" if silent is None else f" for {span(silent)}"
        return fault(
            check, f"{says}, and nothing was{for_long}", "See what the recorder logs, and whether PostgreSQL is slow."
        )
    if lag_seconds >= settings.alert_recorder_lag_seconds or (entries or 0) >= settings.alert_stream_entries:
        return warning(check, says, KINDS[Rule.RECORDER_BEHIND].next_step)
    return ok(check, says if lag_seconds else "every report is written down")


def epoch(facts: ServiceFacts | Unknown, redis: RedisFacts | Unknown, settings: Settings) -> Finding:
    """Whether Redis is the one that PostgreSQL means."""
    check = "epoch"
    if isinstance(facts, Unknown):
        return unknown(check, facts)
    if isinstance(redis, Unknown):
        return unknown(check, redis)
    current = facts.epoch
    if current is None:
        return fault(
            check,
            "no epoch was ever declared: nothing is sent and nothing starts",
            "Start a reconciler, which declares it: python -m pointsman_service reconciler",
        )
    other = _other_data(current, redis)
    if other is not None:
        return other
    if current.opened_at is None:
        says = (
            f"epoch {current.epoch} was declared {span(current.age_seconds)} ago and is in census: nothing is sent"
            " until it is over"
        )
        if current.age_seconds > settings.census_seconds + _CENSUS_SLACK_SECONDS:
            return fault(check, says, "See what the reconciler logs.")
        return warning(check, says, "Wait: it is over within seconds.")
    return ok(check, f"epoch {current.epoch} is open, declared {span(current.age_seconds)} ago")


def _other_data(current: Epoch, redis: RedisFacts) -> Finding | None:
    advice = "The reconciler declares the next epoch within seconds: look again, and if this stays see what it logs."
    if current.run_id != redis.run_id:
        return warning(
            "epoch",
            f"Redis was restarted, or is another than that of epoch {current.epoch}: nothing starts until the next one",
            advice,
        )
    if redis.epoch is not None and redis.epoch > current.epoch:
        return fault(
            "epoch",
            f"Redis speaks of epoch {redis.epoch} and PostgreSQL of {current.epoch}: two installations use one Redis,"
            " or PostgreSQL was restored from a copy",
            "Give each installation a Redis, or a database of Redis, of its own (docs/operating.md).",
        )
    if redis.epoch != current.epoch or redis.epoch_run_id != redis.run_id:
        return warning("epoch", f"Redis does not know of epoch {current.epoch} yet: nothing starts", advice)
    if current.opened_at is not None and not redis.is_open:
        return warning("epoch", f"Redis does not know yet that epoch {current.epoch} is open: nothing starts", advice)
    return None


def contract(redis: RedisFacts | Unknown) -> Iterator[Finding]:
    """The version that the control plane states in Redis beside that of this release."""
    if isinstance(redis, Unknown) or not redis.contract or redis.contract == str(VERSION):
        return
    yield warning(
        "workers.contract",
        f"the control plane that runs speaks contract version {redis.contract}, this release {VERSION}",
        "Roll one release out everywhere (docs/upgrading.md).",
    )

"""The sweep ``alerts``: it looks every two seconds, opens an alert for each cause and resolves it by itself.

Dying at any line is mended by the next pass: what opens, ends, and is told is one transaction.
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from pointsman_service.alert.causes import CAUSES, LONGEST_GRACE_SECONDS, Told
from pointsman_service.alert.conditions import Condition, Limits, severity_of
from pointsman_service.alert.facts import Facts
from pointsman_service.alert.kinds import KINDS, Rule, Severity
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.rules import Judgement, judge
from pointsman_service.alert.sampler import Sampler
from pointsman_service.alert.wording import Event, message_of
from pointsman_service.channel_settings import AlertChannel
from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.alerts import alerts, deliveries
from pointsman_service.store.alerts.alerts import AlertRow, NewAlert
from pointsman_service.store.alerts.deliveries import NewDelivery
from pointsman_service.store.store import Connection, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_STALE_SECONDS = 5.0
"""What was seen so long ago, because this process was frozen meanwhile, is not acted on: another may lead."""
_REFRESH_SECONDS = 10.0
_MOST_NEW = 200
"""Alerts opened in one pass."""
_MOST_ALSO = 50
"""Consequences that an alert names."""
_KNOWN = frozenset(Rule)


class AlertSweep:
    """Safe in every process: a cause has one open alert, and what was seen before a process was frozen changes none."""

    def __init__(self, store: Store, lookout: Lookout, settings: Settings) -> None:
        self._store = store
        self._lookout = lookout
        self._limits = limits_of(settings)
        self._channels = settings.alert_channels
        self._base_url = settings.alert_base_url
        self._repeat_seconds = settings.alert_repeat_seconds
        self._true_since: dict[str, float] = {}
        self._over_since: dict[str, float] = {}
        self._refresh_at = 0.0
        self._sampler = Sampler(store)
        self.loop = Loop("alert sweep", self.single_pass, settings.alert_interval_seconds)

    async def single_pass(self) -> bool:
        """Look once, and write what has changed, and what was seen."""
        began = time.monotonic()
        async with self._store.statement() as connection:
            in_mind = await alerts.in_mind(connection, CAUSES, LONGEST_GRACE_SECONDS)
        facts = await self._lookout.look()
        known = [alert for alert in in_mind if alert.resolved_at is None]
        told = [_told(alert) for alert in in_mind if alert.rule in _KNOWN]
        judgement = judge(facts, self._limits, {alert.key for alert in known}, told)
        more = await self.apply(facts, judgement, known, began)
        await self._sampler.take(facts)
        return more

    async def apply(self, facts: Facts, judgement: Judgement, known: Sequence[AlertRow], began: float) -> bool:
        """Write what a look at ``began`` (monotonic seconds) came to; True when more is to be opened."""
        now = time.monotonic()
        to_open = self._ripe(judgement, {alert.key for alert in known}, now)
        over = self._over(judgement, known, now)
        changed = self._changed(judgement, known, facts.now, now)
        if time.monotonic() - began > _STALE_SECONDS:
            return False
        async with self._store.transaction() as connection:
            new = [self._began(one, facts.now, now, judgement.also) for one in to_open[:_MOST_NEW]]
            opened = await alerts.open_new(connection, new)
            resolved = await alerts.resolve(connection, over)
            await alerts.refresh(connection, {alert: new for alert, new in changed.items() if alert not in over})
            await self._notify(connection, resolved)
        for alert in opened:
            self._true_since.pop(alert.key, None)
            log.warning("an alert was opened", alert=alert.key, severity=alert.severity, summary=alert.summary)
        for alert in resolved:
            self._over_since.pop(alert.key, None)
            log.info("an alert was resolved", alert=alert.key, severity=alert.severity, part_of=alert.part_of)
        return len(to_open) > _MOST_NEW

    def _ripe(self, judgement: Judgement, open_keys: set[str], now: float) -> list[Condition]:
        """Conditions without an alert that have held long enough, also while they were only a consequence."""
        new = {one.key: one for one in judgement.conditions if one.key not in open_keys}
        true = [*new, *(one.key for one in judgement.withheld)]
        self._true_since = {key: self._true_since.get(key, now) for key in true}
        return [
            one
            for key, one in new.items()
            if one.certain and now - self._true_since[key] >= KINDS[one.rule].hold_seconds
        ]

    def _began(self, one: Condition, at: float, now: float, also: Mapping[str, tuple[str, ...]]) -> NewAlert:
        """The alert, since when it was first seen if nothing better is known."""
        return _new(one, at - max(now - self._true_since[one.key], 0.0), also)

    def _over(self, judgement: Judgement, known: Sequence[AlertRow], now: float) -> dict[UUID, str | None]:
        """Alerts whose cause has been gone long enough. One of a rule that nobody has any more is over, too.

        By id, the key of the alert that one is told with from now on, if that is why it ends.
        """
        true = {one.key for one in judgement.conditions}
        # One that stands for several goes on while any of them does.
        true |= {key for one in judgement.withheld for key in (one.key, str(one.rule))}
        gone = {
            alert.key: alert
            for alert in known
            if alert.key not in true and (alert.rule not in _KNOWN or Rule(alert.rule) not in judgement.unknown)
        }
        self._over_since = {key: self._over_since.get(key, now) for key in gone}
        over: dict[UUID, str | None] = {
            alert.id: None for key, alert in gone.items() if now - self._over_since[key] >= _clear_seconds(alert.rule)
        }
        return over | {alert.id: judgement.folded[alert.key] for alert in known if alert.key in judgement.folded}

    def _changed(self, judgement: Judgement, known: Sequence[AlertRow], at: float, now: float) -> dict[UUID, NewAlert]:
        if now < self._refresh_at:
            return {}
        self._refresh_at = now + _REFRESH_SECONDS
        by_key = {one.key: one for one in (*judgement.withheld, *judgement.conditions)}
        found = {
            alert.id: (alert, _new(by_key[alert.key], at, judgement.also)) for alert in known if alert.key in by_key
        }
        return {
            alert_id: new
            for alert_id, (alert, new) in found.items()
            if (new.value, new.also) != (alert.value, tuple(alert.also))
            or (new.severity != alert.severity and new.severity == Severity.PAGE)
        }

    async def _notify(self, connection: Connection, resolved: Sequence[AlertRow]) -> None:
        """Give every channel its messages. Who was told of the beginning is told of the end, silence or not."""
        if not self._channels:
            return
        taken = sorted({severity for channel in self._channels for severity in channel.severities})
        told = [(alert, Event.RESOLVED) for alert in resolved if alert.notified_at is not None]
        again = await alerts.to_tell_again(connection, taken, self._repeat_seconds)
        first = await alerts.to_tell_first(connection, taken)
        told += [(alert, Event.REPEATED) for alert in again] + [(alert, Event.OPENED) for alert in first]
        await deliveries.add(
            connection,
            [
                NewDelivery(alert.id, event, channel.name, message_of(alert, event, self._base_url))
                for alert, event in told
                for channel in takers(self._channels, alert.severity)
            ],
        )


def takers(channels: Sequence[AlertChannel], severity: str) -> list[AlertChannel]:
    """The channels that are told of alerts of this severity."""
    return [channel for channel in channels if severity in channel.severities]


def limits_of(settings: Settings) -> Limits:
    """The limits that are set."""
    return Limits(
        breaker_open_seconds=settings.alert_breaker_open_seconds,
        sla_objective=settings.alert_sla_objective,
        sla_objectives={
            queue.name: queue.sla_objective for queue in settings.topology.queues if queue.sla_objective is not None
        },
        dead_letters=settings.alert_dead_letters,
        recorder_lag_seconds=settings.alert_recorder_lag_seconds,
        dispatcher_lag_seconds=settings.alert_dispatcher_lag_seconds,
        memory_percent=settings.alert_memory_percent,
        full_percent=settings.dispatch_memory_percent,
        role_missing_seconds=settings.alert_role_missing_seconds,
        stream_entries=settings.alert_stream_entries,
    )


def _clear_seconds(rule: str) -> float:
    return KINDS[Rule(rule)].clear_seconds if rule in _KNOWN else 0.0


def _told(alert: AlertRow) -> Told:
    return Told(
        Rule(alert.rule),
        alert.subject,
        Severity(alert.severity),
        alert.since.timestamp(),
        alert.opened_at.timestamp(),
        None if alert.resolved_at is None else alert.resolved_at.timestamp(),
    )


def _new(condition: Condition, now: float, also: Mapping[str, tuple[str, ...]]) -> NewAlert:
    return NewAlert(
        key=condition.key,
        rule=condition.rule,
        subject=condition.subject,
        severity=severity_of(condition),
        summary=condition.summary,
        value=condition.value,
        bound=condition.limit,
        unit=condition.unit,
        link=condition.link,
        since=now if condition.since is None else condition.since,
        also=also.get(condition.key, ())[:_MOST_ALSO],
    )

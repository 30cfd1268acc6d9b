"""The sweep ``alerts``: it looks every two seconds, opens an alert for each cause and resolves it by itself.

Dying at any line is mended by the next pass: what opens, ends, and is told is one transaction.
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from pointsman_service.alert.conditions import Condition, Limits, severity_of
from pointsman_service.alert.facts import Facts
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.rules import Judgement, judge
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
        self.loop = Loop("alert sweep", self.single_pass, settings.alert_interval_seconds)

    async def single_pass(self) -> bool:
        """Look once, and write what has changed."""
        began = time.monotonic()
        async with self._store.statement() as connection:
            known = await alerts.unresolved(connection)
        facts = await self._lookout.look()
        judgement = judge(facts, self._limits, {alert.key for alert in known})
        return await self.apply(facts, judgement, known, began)

    async def apply(self, facts: Facts, judgement: Judgement, known: Sequence[AlertRow], began: float) -> bool:
        """Write what a look at ``began`` (monotonic seconds) came to; True when more is to be opened."""
        now = time.monotonic()
        to_open = self._ripe(judgement.conditions, {alert.key for alert in known}, now)
        over = self._over(judgement, known, now)
        changed = self._changed(judgement.conditions, known, facts.now, now)
        if time.monotonic() - began > _STALE_SECONDS:
            return False
        async with self._store.transaction() as connection:
            opened = await alerts.open_new(connection, [_new(one, facts.now) for one in to_open[:_MOST_NEW]])
            resolved = await alerts.resolve(connection, over)
            await alerts.refresh(connection, changed)
            await self._notify(connection, resolved)
        for alert in opened:
            self._true_since.pop(alert.key, None)
            log.warning("an alert was opened", alert=alert.key, severity=alert.severity, summary=alert.summary)
        for alert in resolved:
            self._over_since.pop(alert.key, None)
            log.info("an alert was resolved", alert=alert.key, severity=alert.severity)
        return len(to_open) > _MOST_NEW

    def _ripe(self, conditions: Sequence[Condition], open_keys: set[str], now: float) -> list[Condition]:
        """Conditions without an alert that have held long enough."""
        new = {one.key: one for one in conditions if one.key not in open_keys}
        self._true_since = {key: self._true_since.get(key, now) for key in new}
        return [one for key, one in new.items() if now - self._true_since[key] >= KINDS[one.rule].hold_seconds]

    def _over(self, judgement: Judgement, known: Sequence[AlertRow], now: float) -> list[UUID]:
        """Alerts whose cause has been gone long enough. One of a rule that nobody has any more is over, too."""
        true = {one.key for one in judgement.conditions}
        gone = {
            alert.key: alert
            for alert in known
            if alert.key not in true and (alert.rule not in list(Rule) or Rule(alert.rule) not in judgement.unknown)
        }
        self._over_since = {key: self._over_since.get(key, now) for key in gone}
        return [alert.id for key, alert in gone.items() if now - self._over_since[key] >= _clear_seconds(alert.rule)]

    def _changed(
        self, conditions: Sequence[Condition], known: Sequence[AlertRow], at: float, now: float
    ) -> Mapping[UUID, NewAlert]:
        if now < self._refresh_at:
            return {}
        self._refresh_at = now + _REFRESH_SECONDS
        by_key = {one.key: one for one in conditions}
        return {
            alert.id: _new(by_key[alert.key], at)
            for alert in known
            if alert.key in by_key and by_key[alert.key].value != alert.value
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
        dead_letters=settings.alert_dead_letters,
        recorder_lag_seconds=settings.alert_recorder_lag_seconds,
        dispatcher_lag_seconds=settings.alert_dispatcher_lag_seconds,
        memory_percent=settings.alert_memory_percent,
        stream_entries=settings.alert_stream_entries,
    )


def _clear_seconds(rule: str) -> float:
    return KINDS[Rule(rule)].clear_seconds if rule in list(Rule) else 0.0


def _new(condition: Condition, now: float) -> NewAlert:
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
    )

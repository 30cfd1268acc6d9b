"""Say of an alert that somebody knows, let nobody be told of it for a while, and try where messages go."""

from uuid import UUID

from pointsman_service.callers import Caller
from pointsman_service.errors import AlertResolved, UnknownAlert
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.store.alerts import alerts, deliveries
from pointsman_service.store.alerts.alerts import AlertRow, SilenceRow
from pointsman_service.store.alerts.deliveries import DeliveryRow, NewDelivery
from pointsman_service.store.store import Connection, Store

__all__ = ["AlertHand", "AlertRow", "SilenceRow"]


class AlertHand:
    """Handles alerts for one API process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def acknowledge(self, caller: Caller, alert_id: UUID, reason: str, who: str | None) -> tuple[AlertRow, bool]:
        """The alert, which is not told again, and whether that is new: the first who says so stays. Raises
        ``UnknownAlert``, and ``AlertResolved`` once it is over.
        """
        act = Act(ActKind.ACKNOWLEDGE, caller, str(alert_id), reason, who)
        async with acting(self._store, act) as connection:
            act.changed = await alerts.acknowledge(connection, alert_id, act.actor, reason)
            alert = await _found(connection, alert_id)
            if alert.acked_at is None:
                raise AlertResolved
            act.was("open", "acknowledged")
        return alert, act.changed

    async def unacknowledge(self, caller: Caller, alert_id: UUID, reason: str | None) -> AlertRow:
        """The alert, which nobody knows of, and which is told again like others. Raises ``UnknownAlert``, and
        ``AlertResolved`` once it is over.
        """
        act = Act(ActKind.UNACKNOWLEDGE, caller, str(alert_id), reason)
        async with acting(self._store, act) as connection:
            act.changed = await alerts.unacknowledge(connection, alert_id)
            alert = await _found(connection, alert_id)
            if alert.resolved_at is not None:
                raise AlertResolved
            act.was("acknowledged", "open")
        return alert

    async def silence(
        self, caller: Caller, alert_id: UUID, reason: str, who: str | None, *, whole_rule: bool, seconds: float
    ) -> SilenceRow:
        """Tell nobody of its cause for so long, or of its whole rule. Raises ``UnknownAlert``."""
        act = Act(ActKind.SILENCE, caller, str(alert_id), reason, who)
        async with acting(self._store, act) as connection:
            alert = await _found(connection, alert_id)
            matcher = alert.rule if whole_rule else alert.key
            silences = await alerts.silences_of(connection, matcher)
            act.was(silences, silences + 1)
            return await alerts.silence(connection, matcher, seconds, act.actor, reason)

    async def unsilence(self, caller: Caller, alert_id: UUID, reason: str | None, only: UUID | None = None) -> AlertRow:
        """End the silences of its cause and of its rule, or ``only`` that one of them; the alert. Raises
        ``UnknownAlert``.
        """
        act = Act(ActKind.UNSILENCE, caller, str(alert_id), reason)
        async with acting(self._store, act) as connection:
            alert = await _found(connection, alert_id)
            ended = await alerts.unsilence(connection, [alert.key, alert.rule], only)
            left = sum([await alerts.silences_of(connection, one) for one in {alert.key, alert.rule}])
            act.was(ended + left, left)
            act.changed = ended > 0
            return await _found(connection, alert_id)

    async def try_channel(self, caller: Caller, test: NewDelivery, reason: str | None) -> DeliveryRow:
        """Let a test be sent, as every message is."""
        async with acting(self._store, Act(ActKind.TEST_CHANNEL, caller, test.channel, reason)) as connection:
            (made,) = await deliveries.add(connection, [test])
        return made


async def _found(connection: Connection, alert_id: UUID) -> AlertRow:
    alert = await alerts.find(connection, alert_id)
    if alert is None:
        raise UnknownAlert
    return alert

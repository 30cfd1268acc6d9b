"""Alerts, silences and messages for whoever shows them, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from pointsman_service.alert.alert import Alert, Delivery, alert_of, delivery_of
from pointsman_service.alert.kinds import Rule
from pointsman_service.errors import UnknownAlert
from pointsman_service.store.alerts import alerts, deliveries
from pointsman_service.store.alerts.alerts import AlertFilter, SilenceRow
from pointsman_service.store.alerts.deliveries import DeliveryFilter
from pointsman_service.store.store import Store

Item = TypeVar("Item", Alert, Delivery)
_MOST_SILENCES = 1000


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list."""

    items: Sequence[Item]
    following: UUID | None
    """Where the next one begins; None: this is the last."""


class AlertReader:
    """Reads alerts for one API process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self,
        *,
        resolved: bool | None = None,
        acknowledged: bool | None = None,
        severity: str | None = None,
        rule: str | None = None,
        below: UUID | None = None,
        limit: int = 50,
    ) -> Page[Alert]:
        """Those that are open first, and of them what causes others before what does not, the newest first; None of a
        filter is everything.
        """
        wanted = AlertFilter(resolved, acknowledged, severity, rule, below)
        async with self._store.statement() as connection:
            rows = await alerts.page(connection, wanted, limit + 1, [str(one) for one in Rule])
        return Page([alert_of(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None)

    async def find(self, alert_id: UUID) -> Alert:
        """One alert. Raises ``UnknownAlert``."""
        async with self._store.statement() as connection:
            row = await alerts.find(connection, alert_id)
        if row is None:
            raise UnknownAlert
        return alert_of(row)

    async def deliveries(
        self,
        *,
        alert_id: UUID | None = None,
        channel: str | None = None,
        status: str | None = None,
        below: UUID | None = None,
        limit: int = 50,
    ) -> Page[Delivery]:
        """Messages, the newest first."""
        async with self._store.statement() as connection:
            rows = await deliveries.page(connection, DeliveryFilter(alert_id, channel, status, below), limit + 1)
        return Page([delivery_of(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None)

    async def silences(self) -> list[SilenceRow]:
        """Those that have not ended, the newest first."""
        async with self._store.statement() as connection:
            return await alerts.silences(connection, _MOST_SILENCES)

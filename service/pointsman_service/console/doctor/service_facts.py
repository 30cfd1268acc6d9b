"""What PostgreSQL says of the control plane and of what works for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.alerts import deliveries, facts
from pointsman_service.store.alerts.deliveries import DeliveryRow
from pointsman_service.store.leadership import Holder, holders
from pointsman_service.store.queues import pausing
from pointsman_service.store.queues.pausing import QueuePause
from pointsman_service.store.store import Connection
from pointsman_service.store.streams import epochs
from pointsman_service.store.streams.epochs import Epoch
from pointsman_service.store.workers import catalogue


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One moment."""

    holders: Mapping[str, Holder]
    """By the name of the lead."""
    epoch: Epoch | None
    positions: Mapping[str, str]
    """The last entry that was recorded of each event stream."""
    recorded_seconds_ago: float | None
    task_types: Sequence[TaskTypeSpec]
    pauses: Mapping[str, QueuePause]
    """Of the queues that are paused now."""
    oldest_seconds: Mapping[str, float]
    """By queue, since the oldest task that is due and not started was due. A queue without one is absent."""
    last_tried: Mapping[str, DeliveryRow]
    """By channel, the newest message that was tried at least once."""


async def service_facts(connection: Connection, queues: Sequence[str], channels: Sequence[str]) -> ServiceFacts:
    """Ask, one question after the other. Raises the store's errors."""
    return ServiceFacts(
        holders=await holders(connection),
        epoch=await epochs.current(connection),
        positions=await epochs.positions(connection),
        recorded_seconds_ago=await epochs.recorded_seconds_ago(connection),
        task_types=[spec for spec, _ in await catalogue.newest(connection)],
        pauses={one.queue: one for one in await pausing.pauses(connection) if one.paused},
        oldest_seconds={
            row.queue: max(waits)
            for row in await facts.due(connection, queues)
            if (waits := [seconds for seconds in (row.waiting_seconds, row.sent_seconds) if seconds is not None])
        },
        last_tried=await deliveries.last_tried(connection, channels),
    )

"""Messages about alerts, one for each channel: what the notifier works through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils
from pydantic_core import to_json
from sqlalchemy import text

from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message to be sent."""

    alert_id: UUID | None
    event: str
    channel: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One message to one channel."""

    id: UUID
    alert_id: UUID | None
    event: str
    channel: str
    message: Mapping[str, Any]
    status: str
    attempts: int
    next_at: datetime
    last_status: str | None
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What a list is narrowed to; None means everything."""

    alert_id: UUID | None = None
    channel: str | None = None
    status: str | None = None
    below: UUID | None = None


_COLUMNS = ", ".join(
    [
        *(f"d.{field.name}" for field in fields(DeliveryRow)[:-1]),
        "extract(epoch FROM now() - d.created_at)::float8 AS age_seconds",
    ]
)
_NEW = {"id": "uuid", "alert_id": "uuid", "event": "text", "channel": "text", "message": "text"}
_ADD = text(
    "INSERT INTO alert_delivery AS d (id, alert_id, event, channel, message)"
    " SELECT id, alert_id, event, channel, message::jsonb FROM "
    + array_columns(_NEW, "n")
    + f" ORDER BY id RETURNING {_COLUMNS}"
)
_SENT = text("""
    INSERT INTO alert_delivery (id, alert_id, event, channel, message, status, attempts, last_status, created_at,
        ended_at)
    VALUES (CAST(:id AS uuid), CAST(:alert_id AS uuid), :event, :channel, CAST(:message AS jsonb), 'sent', 1,
        :last_status, :at, :at)
    ON CONFLICT DO NOTHING
""")
# A channel hears of one alert in order: what is over is not told before what began.
_TAKE = text(f"""
    UPDATE alert_delivery d SET attempts = d.attempts + 1,
        next_at = now() + CAST(:lease AS float8) * interval '1 second'
    WHERE d.id IN (
        SELECT p.id FROM alert_delivery p
        WHERE p.status = 'pending' AND p.next_at <= now() AND NOT p.channel = ANY(CAST(:busy AS text[]))
            AND NOT EXISTS (
            SELECT FROM alert_delivery b WHERE b.alert_id = p.alert_id AND b.channel = p.channel AND b.id < p.id
                AND b.status = 'pending')
        ORDER BY p.next_at LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
""")
_END = text("""
    UPDATE alert_delivery SET status = :status, last_status = :last_status, error = :error, ended_at = now()
    WHERE id = CAST(:id AS uuid) AND status = 'pending'
""")
_LATER = text("""
    UPDATE alert_delivery SET last_status = :last_status, error = :error,
        next_at = now() + CAST(:seconds AS float8) * interval '1 second'
    WHERE id = CAST(:id AS uuid) AND status = 'pending'
""")
_ONE = text(f"SELECT {_COLUMNS} FROM alert_delivery d WHERE d.id = CAST(:id AS uuid)")
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM alert_delivery d
    WHERE (CAST(:alert_id AS uuid) IS NULL OR d.alert_id = CAST(:alert_id AS uuid))
        AND (CAST(:channel AS text) IS NULL OR d.channel = :channel)
        AND (CAST(:status AS text) IS NULL OR d.status = :status)
        AND (CAST(:below AS uuid) IS NULL OR d.id < CAST(:below AS uuid))
    ORDER BY d.id DESC LIMIT :most
""")
# Down the ids, each channel to the first that was tried.
_LAST_TRIED = text(f"""
    SELECT {_COLUMNS} FROM unnest(CAST(:channels AS text[])) AS c (channel)
    CROSS JOIN LATERAL (SELECT * FROM alert_delivery t WHERE t.channel = c.channel AND t.attempts > 0
        ORDER BY t.id DESC LIMIT 1) AS d
""")


async def add(connection: Connection, wanted: Sequence[NewDelivery]) -> list[DeliveryRow]:
    """Let messages be sent; in the transaction that marks the alerts as told."""
    if not wanted:
        return []
    columns: dict[str, Any] = {name: [getattr(new, name) for new in wanted] for name in ("event", "channel")}
    columns["id"] = [str(uuid_utils.uuid7()) for _ in wanted]
    columns["alert_id"] = [new.alert_id for new in wanted]
    columns["message"] = [to_json(new.message).decode() for new in wanted]
    return [DeliveryRow(*row) for row in await connection.execute(_ADD, columns)]


async def add_sent(connection: Connection, delivery_id: UUID, new: NewDelivery, last_status: str, at: datetime) -> None:
    """Write down a message that was sent when no row could be written."""
    parameters = {
        "id": delivery_id,
        "alert_id": new.alert_id,
        "event": new.event,
        "channel": new.channel,
        "message": to_json(new.message).decode(),
        "last_status": last_status,
        "at": at,
    }
    await connection.execute(_SENT, parameters)


async def take(connection: Connection, most: int, lease_seconds: float, busy: Sequence[str] = ()) -> list[DeliveryRow]:
    """Up to ``most`` messages whose time has come, but for the channels ``busy``, counted as attempts.

    Nobody else gets them for ``lease_seconds``.
    """
    parameters = {"most": most, "lease": lease_seconds, "busy": list(busy)}
    return [DeliveryRow(*row) for row in await connection.execute(_TAKE, parameters)]


async def end(connection: Connection, delivery_id: UUID, status: str, last_status: str, error: str | None) -> None:
    """No other attempt follows: ``sent``, ``gave_up`` or ``dropped``."""
    parameters = {"id": delivery_id, "status": status, "last_status": last_status, "error": error}
    await connection.execute(_END, parameters)


async def try_later(connection: Connection, delivery_id: UUID, seconds: float, last_status: str, error: str) -> None:
    """Let another attempt to deliver a message follow after ``seconds``."""
    parameters = {"id": delivery_id, "seconds": seconds, "last_status": last_status, "error": error}
    await connection.execute(_LATER, parameters)


async def find(connection: Connection, delivery_id: UUID) -> DeliveryRow | None:
    """One message."""
    row = (await connection.execute(_ONE, {"id": delivery_id})).one_or_none()
    return None if row is None else DeliveryRow(*row)


async def page(connection: Connection, wanted: DeliveryFilter, most: int) -> list[DeliveryRow]:
    """Messages, the newest first."""
    parameters = {field.name: getattr(wanted, field.name) for field in fields(DeliveryFilter)}
    return [DeliveryRow(*row) for row in await connection.execute(_PAGE, parameters | {"most": most})]


async def last_tried(connection: Connection, channels: Sequence[str]) -> dict[str, DeliveryRow]:
    """The newest message to each channel that was tried at least once, by channel."""
    rows = [DeliveryRow(*row) for row in await connection.execute(_LAST_TRIED, {"channels": list(channels)})]
    return {row.channel: row for row in rows}

"""Alerts and their silences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils
from sqlalchemy import text

from pointsman_service.store import changes
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import Topic
from pointsman_service.store.store import Connection

MOST_OPEN = 1000
"""Unresolved alerts that are looked at in one pass."""


@dataclass(frozen=True, slots=True)
class NewAlert:
    """What begins an alert."""

    key: str
    rule: str
    subject: str
    severity: str
    summary: str
    value: float | None
    bound: float | None
    unit: str
    link: str
    since: float
    """Unix seconds on the database clock."""
    also: tuple[str, ...] = ()
    """The keys of what it leads to."""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert."""

    id: UUID
    key: str
    rule: str
    subject: str
    severity: str
    summary: str
    value: float | None
    bound: float | None
    unit: str
    link: str
    since: datetime
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    notified_at: datetime | None
    acked_at: datetime | None
    acked_by: str | None
    ack_reason: str | None
    also: Sequence[str]
    part_of: str | None
    silenced_until: datetime | None
    """None: not now."""


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """One silence."""

    id: UUID
    matcher: str
    until: datetime
    actor: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """What a list is narrowed to; None means everything."""

    resolved: bool | None = None
    acknowledged: bool | None = None
    severity: str | None = None
    rule: str | None = None
    below: UUID | None = None
    """Only ids below this one: the last of the page before."""


_MATCHES = "s.until > now() AND s.matcher IN (alert.key, alert.rule)"
_SILENCED_UNTIL = f"(SELECT max(s.until) FROM alert_silence s WHERE {_MATCHES}) AS silenced_until"
_COLUMNS = ", ".join([*(f"alert.{field.name}" for field in fields(AlertRow)[:-1]), _SILENCED_UNTIL])
_NEW = {
    "id": "uuid",
    "key": "text",
    "rule": "text",
    "subject": "text",
    "severity": "text",
    "summary": "text",
    "value": "float8",
    "bound": "float8",
    "unit": "text",
    "link": "text",
    "also": "text",
    "since": "float8",
}
_PLAIN = ", ".join(name for name in _NEW if name not in ("also", "since"))
# A list in a list of rows: no name has such a character.
_ALSO = "string_to_array(n.also, chr(31))"
# An old leader may open the same alert: the index over what is open lets one of them win.
_OPEN = text(
    f"INSERT INTO alert ({_PLAIN}, also, since) SELECT {_PLAIN}, {_ALSO}, least(now(), to_timestamp(since)) FROM "
    + array_columns(_NEW, "n")
    + f" ORDER BY key ON CONFLICT (key) WHERE resolved_at IS NULL DO NOTHING RETURNING {_COLUMNS}"
)
_CHANGED = {"id": "uuid", "severity": "text", "summary": "text", "value": "float8", "bound": "float8", "also": "text"}
# What becomes a page is told anew, to those who take pages.
_REFRESH = text(
    f"UPDATE alert SET summary = n.summary, value = n.value, bound = n.bound, also = {_ALSO}, updated_at = now(),"
    " severity = CASE WHEN n.severity = 'page' THEN n.severity ELSE alert.severity END,"
    " notified_at = CASE WHEN n.severity = 'page' AND alert.severity <> 'page' THEN NULL ELSE notified_at END FROM "
    + array_columns(_CHANGED, "n")
    + " WHERE alert.id = n.id AND alert.resolved_at IS NULL"
)
_ENDED = {"id": "uuid", "part_of": "text"}
_RESOLVE = text(
    "UPDATE alert SET resolved_at = now(), part_of = n.part_of FROM "
    + array_columns(_ENDED, "n")
    + f" WHERE alert.id = n.id AND alert.resolved_at IS NULL RETURNING {_COLUMNS}"
)
IN_MIND = text(f"""
    SELECT {_COLUMNS} FROM alert
    WHERE resolved_at IS NULL OR (part_of IS NULL AND rule = ANY(CAST(:causes AS text[]))
        AND resolved_at > now() - CAST(:lately AS float8) * interval '1 second')
    ORDER BY resolved_at IS NOT NULL, id LIMIT :most
""")
_TO_TELL = f"""
    UPDATE alert SET notified_at = now()
    WHERE resolved_at IS NULL AND severity = ANY(CAST(:severities AS text[])) AND {{when}}
        AND NOT EXISTS (SELECT FROM alert_silence s WHERE {_MATCHES})
    RETURNING {_COLUMNS}
"""
_TELL_FIRST = text(_TO_TELL.format(when="notified_at IS NULL"))
_TELL_AGAIN = text(
    _TO_TELL.format(
        when="acked_at IS NULL AND notified_at < now() - CAST(:repeat_seconds AS float8) * interval '1 second'"
    )
)
_ONE = text(f"SELECT {_COLUMNS} FROM alert WHERE id = CAST(:id AS uuid)")
_NARROWED = """
    (CAST(:acknowledged AS boolean) IS NULL OR (acked_at IS NOT NULL) = CAST(:acknowledged AS boolean))
        AND (CAST(:severity AS text) IS NULL OR severity = :severity)
        AND (CAST(:rule AS text) IS NULL OR rule = :rule)
"""
_RANK = "coalesce(array_position(CAST(:order AS text[]), {alert}.rule), 1000)"
_OPEN_PAGE = text(f"""
    SELECT {_COLUMNS} FROM alert
    WHERE resolved_at IS NULL AND {_NARROWED}
        AND (CAST(:below AS uuid) IS NULL OR EXISTS (
            SELECT FROM alert b WHERE b.id = CAST(:below AS uuid) AND b.resolved_at IS NULL
                AND ({_RANK.format(alert="b")}, alert.id) < ({_RANK.format(alert="alert")}, b.id)))
    ORDER BY {_RANK.format(alert="alert")}, alert.id DESC LIMIT :most
""")
_RESOLVED_PAGE = text(f"""
    SELECT {_COLUMNS} FROM alert
    WHERE resolved_at IS NOT NULL AND {_NARROWED}
        AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)
            OR EXISTS (SELECT FROM alert b WHERE b.id = CAST(:below AS uuid) AND b.resolved_at IS NULL))
    ORDER BY id DESC LIMIT :most
""")
_ACK = text("""
    UPDATE alert SET acked_at = now(), acked_by = :actor, ack_reason = :reason
    WHERE id = CAST(:id AS uuid) AND resolved_at IS NULL AND acked_at IS NULL
""")
_UNACK = text("""
    UPDATE alert SET acked_at = NULL, acked_by = NULL, ack_reason = NULL
    WHERE id = CAST(:id AS uuid) AND resolved_at IS NULL AND acked_at IS NOT NULL
""")
_COUNTS = text("SELECT rule, severity, count(*) AS alerts FROM alert WHERE resolved_at IS NULL GROUP BY rule, severity")
_SILENCE = text("""
    INSERT INTO alert_silence AS s (id, matcher, until, actor, reason)
    VALUES (CAST(:id AS uuid), :matcher, now() + CAST(:seconds AS float8) * interval '1 second', :actor, :reason)
    RETURNING s.id, s.matcher, s.until, s.actor, s.reason, s.created_at
""")
_SILENCES = text("""
    SELECT id, matcher, until, actor, reason, created_at FROM alert_silence WHERE until > now() ORDER BY id DESC
    LIMIT :most
""")
_SILENCES_OF = text("SELECT count(*) FROM alert_silence WHERE until > now() AND matcher = :matcher")
_UNSILENCE = text("""
    UPDATE alert_silence SET until = now() WHERE until > now() AND matcher = ANY(CAST(:matchers AS text[]))
        AND (CAST(:id AS uuid) IS NULL OR id = CAST(:id AS uuid))
""")
_WAS = text("""
    INSERT INTO alert (id, key, rule, subject, severity, summary, unit, link, since, opened_at, resolved_at,
        notified_at)
    VALUES (CAST(:id AS uuid), :rule, :rule, '', :severity, :summary, '', :link, :since, :since, now(),
        CASE WHEN :told THEN CAST(:since AS timestamptz) END)
    ON CONFLICT (id) DO NOTHING
""")


async def open_new(connection: Connection, wanted: Sequence[NewAlert]) -> list[AlertRow]:
    """Begin alerts; a cause that has an open one gets no other. Returns those that were begun."""
    if not wanted:
        return []
    columns = _columns(wanted, _NEW)
    columns["id"] = [str(uuid_utils.uuid7()) for _ in wanted]
    begun = _rows(await connection.execute(_OPEN, columns))
    await changes.tell(connection, Topic.ALERTS)
    return begun


async def refresh(connection: Connection, changed: Mapping[UUID, NewAlert]) -> None:
    """Write value, summary and consequences of open alerts anew. A ticket may become a page, and is told again then."""
    if changed:
        await connection.execute(_REFRESH, _columns(list(changed.values()), _CHANGED) | {"id": list(changed)})
        await changes.tell(connection, Topic.ALERTS)


async def resolve(connection: Connection, ended: Mapping[UUID, str | None]) -> list[AlertRow]:
    """End alerts: by id, the key of the alert that one is told with from now on, if any. Returns those that had not
    ended.
    """
    if not ended:
        return []
    parameters = {"id": list(ended), "part_of": list(ended.values())}
    resolved = _rows(await connection.execute(_RESOLVE, parameters))
    await changes.tell(connection, Topic.ALERTS)
    return resolved


async def in_mind(
    connection: Connection, causes: Sequence[str] = (), lately: float = 0.0, most: int = MOST_OPEN
) -> list[AlertRow]:
    """Alerts that have not ended, the oldest first; then those of the rules ``causes`` that ended by themselves within
    ``lately`` seconds.
    """
    return _rows(await connection.execute(IN_MIND, {"causes": list(causes), "lately": lately, "most": most}))


async def to_tell_first(connection: Connection, severities: Sequence[str]) -> list[AlertRow]:
    """Mark as told, and return, the open alerts of these severities that nobody was told of and none silences."""
    return _rows(await connection.execute(_TELL_FIRST, {"severities": list(severities)}))


async def to_tell_again(connection: Connection, severities: Sequence[str], repeat_seconds: float) -> list[AlertRow]:
    """Mark as told, and return, the open alerts of these severities that were told of ``repeat_seconds`` ago and that
    nobody acknowledged or silences.
    """
    parameters = {"severities": list(severities), "repeat_seconds": repeat_seconds}
    return _rows(await connection.execute(_TELL_AGAIN, parameters))


async def find(connection: Connection, alert_id: UUID) -> AlertRow | None:
    """One alert."""
    row = (await connection.execute(_ONE, {"id": alert_id})).one_or_none()
    return None if row is None else AlertRow(*row)


async def page(connection: Connection, wanted: AlertFilter, most: int, order: Sequence[str]) -> list[AlertRow]:
    """Alerts: first those that are open, by their rules in this ``order`` and then the newest first; then those that
    are over, the newest first.
    """
    parameters = {field.name: getattr(wanted, field.name) for field in fields(AlertFilter) if field.name != "resolved"}
    found: list[AlertRow] = []
    if wanted.resolved is not True:
        found = _rows(await connection.execute(_OPEN_PAGE, parameters | {"most": most, "order": list(order)}))
    if wanted.resolved is not False and len(found) < most:
        found += _rows(await connection.execute(_RESOLVED_PAGE, parameters | {"most": most - len(found)}))
    return found


async def acknowledge(connection: Connection, alert_id: UUID, actor: str, reason: str) -> bool:
    """Write down that somebody knows; the first one stays. Whether this is the first."""
    acked = await connection.execute(_ACK, {"id": alert_id, "actor": actor, "reason": reason})
    await changes.tell(connection, Topic.ALERTS)
    return acked.rowcount > 0


async def unacknowledge(connection: Connection, alert_id: UUID) -> bool:
    """Whether an open one that somebody knew of is now known to nobody."""
    return (await connection.execute(_UNACK, {"id": alert_id})).rowcount > 0


async def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Open alerts by rule and severity."""
    return {(row.rule, row.severity): row.alerts for row in await connection.execute(_COUNTS)}


async def silence(connection: Connection, matcher: str, seconds: float, actor: str, reason: str) -> SilenceRow:
    """Tell nobody of alerts with this key or rule for so long."""
    parameters = {"matcher": matcher, "seconds": seconds, "actor": actor, "reason": reason}
    row = (await connection.execute(_SILENCE, parameters | {"id": str(uuid_utils.uuid7())})).one()
    await changes.tell(connection, Topic.ALERTS)
    return SilenceRow(*row)


async def silences(connection: Connection, most: int) -> list[SilenceRow]:
    """Silences that have not ended, the newest first."""
    return [SilenceRow(*row) for row in await connection.execute(_SILENCES, {"most": most})]


async def silences_of(connection: Connection, matcher: str) -> int:
    """How many silences of this key or rule have not ended."""
    return int((await connection.execute(_SILENCES_OF, {"matcher": matcher})).scalar_one())


async def unsilence(connection: Connection, matchers: Sequence[str], only: UUID | None = None) -> int:
    """End the silences of these keys and rules, or ``only`` that one of them. Returns how many there were."""
    ended = (await connection.execute(_UNSILENCE, {"matchers": list(matchers), "id": only})).rowcount
    await changes.tell(connection, Topic.ALERTS)
    return ended


async def was(
    connection: Connection,
    alert_id: UUID,
    *,
    rule: str,
    severity: str,
    summary: str,
    link: str,
    since: datetime,
    told: bool,
) -> AlertRow | None:
    """Write down an alert that is over, whose row could not be written while it lasted. None: it is there already."""
    parameters = {"id": alert_id, "rule": rule, "severity": severity, "summary": summary, "link": link, "told": told}
    made = (await connection.execute(_WAS, parameters | {"since": since})).rowcount
    await changes.tell(connection, Topic.ALERTS)
    return await find(connection, alert_id) if made else None


def _columns(rows: Sequence[NewAlert], wanted: Mapping[str, str]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in wanted if name != "id"}
    columns["also"] = ["\x1f".join(row.also) for row in rows]
    return columns


def _rows(found: Any) -> list[AlertRow]:
    return [AlertRow(*row) for row in found]

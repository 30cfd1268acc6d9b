"""What is asked to explain one task. Each answer is bounded, however long the backlog."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_contract.states import Place
from pointsman_service.store.store import Connection

MOST_COUNTED = 1000
"""Tasks that are counted: how many more there are takes too long to find out."""
MOST_RUNNING = 500
"""Runs that are looked at."""
_MOST_NODES = 20
_MOST_HELD = 20_000
"""Held tasks that are looked at for one of a queue."""


@dataclass(frozen=True, slots=True)
class LiveRow:
    """What only an unfinished task has."""

    state: str
    place: str
    sent_at: datetime
    held_at: datetime | None
    unclaimed: float
    unclaimed_reason: str | None
    interrupted_in_a_row: int
    cancel_grace_seconds: float | None
    time_limit_seconds: float
    takes_turns: bool
    """Whether it waits in PostgreSQL, and with its priority tasks of other shares do, too."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run that a worker names."""

    id: UUID
    task_type: str
    started_at: datetime | None
    """None: not written down yet."""
    progress: str | None
    """JSON text of a ``pointsman_contract.events.Progress``."""


@dataclass(frozen=True, slots=True)
class PublisherRow:
    """Who last published a task type."""

    name: str | None
    last_seen_at: datetime | None
    published_at: datetime


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node that took from a queue."""

    name: str
    last_seen_at: datetime
    processes: int


_OTHER_SHARE = """(SELECT true FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller, t.fairness_key) {beyond} (f.queue, f.priority, f.caller, f.fairness_key)
            AND (t.queue, t.priority) {within} (f.queue, f.priority)
            ORDER BY t.queue{down}, t.priority{down}, t.caller{down}, t.fairness_key{down} LIMIT 1)"""
_LIVE = text(f"""
    SELECT state, place, sent_at, held_at, unclaimed::float8, unclaimed_reason, interrupted_in_a_row,
        cancel_grace_seconds::float8, timeout_seconds::float8, place = 'waiting' AND coalesce(
            {_OTHER_SHARE.format(beyond="<", within=">=", down=" DESC")},
            {_OTHER_SHARE.format(beyond=">", within="<=", down="")}, false) AS takes_turns
    FROM task_live f WHERE id = CAST(:id AS uuid)
""")
# A range of the index for each priority, the most urgent first, as they are sent. Only with an order does it end where
# enough were counted; and those that are about to be cancelled count, too, for the index does not know of them.
_WAITING_OF = "SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue AND t.priority = {priority}"
_SENT_OF = """
    SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue AND t.priority = {priority}
        AND t.state = 'queued'"""
_MORE_URGENT = f"generate_series(CAST(:priority AS int) + 1, {MAX_PRIORITY}) AS p (priority)"
_OF_ITS_PRIORITY = f"""
        ({_WAITING_OF.format(priority="CAST(:priority AS int)")}
            AND (t.due_at, t.id) < (:due_at, CAST(:id AS uuid)) ORDER BY t.due_at, t.id LIMIT :most)
        UNION ALL"""
_AHEAD_WAITING = f"""
    SELECT count(*) FROM (
        (SELECT FROM {_MORE_URGENT} CROSS JOIN LATERAL (
            {_WAITING_OF.format(priority="p.priority")} ORDER BY t.due_at LIMIT :most) AS t LIMIT :most)
        UNION ALL{{also}}
        (SELECT FROM generate_series(CAST(:priority AS int), {MAX_PRIORITY}) AS p (priority) CROSS JOIN LATERAL (
            {_SENT_OF.format(priority="p.priority")} ORDER BY t.sent_at LIMIT :most) AS t LIMIT :most)
        LIMIT :most
    ) AS before
"""
_AHEAD_UNSENT = text(_AHEAD_WAITING.format(also=_OF_ITS_PRIORITY))
_AHEAD_OF_ITS_PRIORITY = text(_AHEAD_WAITING.format(also=""))
_AHEAD_SENT = text(f"""
    SELECT count(*) FROM (
        (SELECT FROM {_MORE_URGENT} CROSS JOIN LATERAL (
            {_SENT_OF.format(priority="p.priority")} ORDER BY t.sent_at LIMIT :most) AS t LIMIT :most)
        UNION ALL
        ({_SENT_OF.format(priority="CAST(:priority AS int)")}
            AND (t.sent_at, t.due_at, t.id) < (:sent_at, :due_at, CAST(:id AS uuid)) ORDER BY t.sent_at LIMIT :most)
        LIMIT :most
    ) AS before
""")
_RUNS = text("SELECT id, task_type, started_at, progress FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))")
# Only a range with an order makes the planner take the index (``store.queues.holding``).
_HELD = text("""
    SELECT task_type, count(*)::int AS tasks FROM (
        SELECT task_type FROM task_live WHERE place = 'held' AND held_reason = :reason
        ORDER BY task_type, queue LIMIT :most) AS first_ones
    GROUP BY task_type ORDER BY tasks DESC, task_type
""")
_HELD_AT = text("""
    SELECT count(*) FROM (
        SELECT FROM task_live WHERE place = 'held' AND held_reason = :reason
            AND task_type BETWEEN :task_type AND :task_type AND queue BETWEEN :queue AND :queue
        ORDER BY task_type, queue LIMIT :most) AS first_ones
""")
_PUBLISHER = text("""
    (SELECT w.name, w.last_seen_at, c.published_at, 0 AS place FROM worker_catalogue c LEFT JOIN worker w USING (owner)
        WHERE c.content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = :task_type)
        ORDER BY c.published_at DESC LIMIT 1)
    UNION ALL
    (SELECT NULL, NULL, last_published_at, 1 FROM task_type WHERE name = :task_type
        ORDER BY last_published_at DESC LIMIT 1)
    ORDER BY place LIMIT 1
""")
_BEGUN = text("""
    SELECT count(*) FROM (
        SELECT FROM task_live WHERE place = 'sent' AND queue = :queue AND state = 'running' LIMIT :most
    ) AS first_ones
""")
_KNOWING = text("""
    SELECT owner FROM worker_catalogue WHERE owner = ANY(CAST(:owners AS text[]))
        AND content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = :task_type)
""")
# A probe of the index for each priority, and one for what was sent.
_HEAD = text(f"""
    (SELECT t.id FROM generate_series(0, {MAX_PRIORITY}) AS p (priority) CROSS JOIN LATERAL (
        SELECT t.id, t.priority, t.due_at FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue
            AND t.priority = p.priority AND t.cancel_requested_at IS NULL ORDER BY t.due_at, t.id LIMIT 1) AS t
        ORDER BY t.priority DESC LIMIT 1)
    UNION ALL
    (SELECT t.id FROM generate_series(0, {MAX_PRIORITY}) AS p (priority) CROSS JOIN LATERAL (
        SELECT t.id, t.sent_at FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue
            AND t.priority = p.priority AND t.state = 'queued' ORDER BY t.sent_at LIMIT 1) AS t
        ORDER BY t.sent_at LIMIT 1)
    LIMIT 1
""")
# Of those that are held for the longest, whatever queue they are of.
_HELD_FIRST = text("""
    SELECT h.id FROM (
        SELECT id, queue, cancel_requested_at FROM task_live WHERE place = 'held' ORDER BY id LIMIT :most
    ) AS h WHERE h.queue = :queue AND h.cancel_requested_at IS NULL ORDER BY h.id LIMIT 1
""")
_NODES = text("""
    SELECT name, last_seen_at, processes FROM worker WHERE CAST(:queue AS text) = ANY(queues)
    ORDER BY last_seen_at DESC LIMIT :most
""")


async def live(connection: Connection, task_id: UUID) -> LiveRow | None:
    """Of an unfinished task; None: it has ended."""
    row = (await connection.execute(_LIVE, {"id": task_id})).one_or_none()
    return None if row is None else LiveRow(*row)


async def ahead_of(
    connection: Connection,
    task_id: UUID,
    queue: str,
    priority: int,
    due_at: datetime,
    place: str,
    sent_at: datetime,
    most: int = MOST_COUNTED,
) -> tuple[int, bool]:
    """Tasks of the queue that start before this one, which is due, wherever it waits; and whether there are more."""
    if place == Place.SENT:
        return await ahead_of_sent(connection, task_id, queue, priority, due_at, sent_at, most)
    return await ahead_of_unsent(connection, task_id, queue, priority, due_at, most)


async def ahead_of_unsent(
    connection: Connection, task_id: UUID, queue: str, priority: int, due_at: datetime, most: int = MOST_COUNTED
) -> tuple[int, bool]:
    """Tasks of the queue that are sent before this one, and those that are sent already and did not start, of equal or
    higher priority; and whether there are more.
    """
    return await _count(connection, _AHEAD_UNSENT, most, id=task_id, queue=queue, priority=priority, due_at=due_at)


async def ahead_of_its_priority(
    connection: Connection, queue: str, priority: int, most: int = MOST_COUNTED
) -> tuple[int, bool]:
    """``ahead_of_unsent`` without those that wait with its own priority."""
    return await _count(connection, _AHEAD_OF_ITS_PRIORITY, most, queue=queue, priority=priority)


async def ahead_of_sent(
    connection: Connection,
    task_id: UUID,
    queue: str,
    priority: int,
    due_at: datetime,
    sent_at: datetime,
    most: int = MOST_COUNTED,
) -> tuple[int, bool]:
    """Tasks of the queue that were sent before this one and did not start, and more urgent ones; and whether there are
    more.
    """
    return await _count(
        connection, _AHEAD_SENT, most, id=task_id, queue=queue, priority=priority, due_at=due_at, sent_at=sent_at
    )


async def head(connection: Connection, queue: str) -> UUID | None:
    """The task of a queue that is due and starts next: the first that is not sent, or else the one sent first. Where
    there is none, the oldest that is held; None also where more than ``_MOST_HELD`` of other queues are held before it.
    """
    found: UUID | None = (await connection.execute(_HEAD, {"queue": queue})).scalar_one_or_none()
    if found is None:
        held = await connection.execute(_HELD_FIRST, {"queue": queue, "most": _MOST_HELD})
        found = held.scalar_one_or_none()
    return found


async def runs(connection: Connection, ids: Sequence[str]) -> list[RunRow]:
    """The unfinished ones of these tasks, of the first ``MOST_RUNNING`` of them."""
    return [RunRow(*row) for row in await connection.execute(_RUNS, {"ids": list(ids[:MOST_RUNNING])})]


async def held_types(connection: Connection, reason: str) -> tuple[dict[str, int], bool]:
    """Tasks that are held for one reason by type, the most first; and whether there are more than were counted."""
    rows = (await connection.execute(_HELD, {"reason": reason, "most": MOST_COUNTED + 1})).all()
    capped = sum(row.tasks for row in rows) > MOST_COUNTED
    return {row.task_type: row.tasks for row in rows}, capped


async def held_at(connection: Connection, reason: str, task_type: str, queue: str) -> tuple[int, bool]:
    """Tasks of one type and queue that are held for one reason; and whether there are more."""
    return await _count(connection, _HELD_AT, MOST_COUNTED, reason=reason, task_type=task_type, queue=queue)


async def publisher(connection: Connection, task_type: str) -> PublisherRow | None:
    """Who last published a task type; None: nobody ever did."""
    row = (await connection.execute(_PUBLISHER, {"task_type": task_type})).one_or_none()
    return None if row is None else PublisherRow(row.name, row.last_seen_at, row.published_at)


async def begun(connection: Connection, queue: str) -> int:
    """How many attempts of a queue run; ``MOST_RUNNING`` at most are counted."""
    found: int = (await connection.execute(_BEGUN, {"queue": queue, "most": MOST_RUNNING})).scalar_one()
    return found


async def knowing(connection: Connection, task_type: str, owners: Sequence[str]) -> list[str]:
    """Those of these nodes that have published a task type."""
    parameters = {"task_type": task_type, "owners": list(owners)}
    return list((await connection.execute(_KNOWING, parameters)).scalars())


async def last_nodes(connection: Connection, queue: str) -> list[NodeRow]:
    """Nodes that take, or took, from a queue, the one seen last first."""
    return [NodeRow(*row) for row in await connection.execute(_NODES, {"queue": queue, "most": _MOST_NODES})]


async def _count(connection: Connection, statement: Any, most: int, **parameters: object) -> tuple[int, bool]:
    found: int = (await connection.execute(statement, parameters | {"most": most + 1})).scalar_one()
    return min(found, most), found > most

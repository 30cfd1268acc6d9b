"""The rows the dispatcher and its sweeps move between Postgres and the broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from pointsman_service.broker import Envelope
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.queues.holding import BLOCKED_BY, BY_BREAKER, HELD
from pointsman_service.store.queues.pausing import IS_PAUSED
from pointsman_service.store.queues.shares import Share
from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class Taken:
    """Tasks that were marked as sent."""

    tasks: Mapping[Share, Sequence[Envelope]]
    """The oldest of each share first."""
    outbox_id: int | None
    """Of their outbox row, to be dropped once they are published; None: there are none."""
    held: int
    """Tasks that were held instead."""


_WAITING = text(
    """
    SELECT queue FROM unnest(CAST(:queues AS text[])) AS known (queue)
    WHERE NOT """
    + IS_PAUSED.format(queue="known.queue")
    + """
        AND EXISTS (SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = known.queue
        AND t.cancel_requested_at IS NULL)
"""
)

# A message has a field of the row under the same name, but for these.
_OTHERWISE = {
    "task_id": "t.id",
    "after": "t.attempt",
    "expires_at": "extract(epoch FROM t.expires_at)::float8",
    "dependencies": "coalesce(t.dependencies, ARRAY[]::text[])",
}
_MESSAGE = ", ".join(f"{_OTHERWISE.get(name, f't.{name}')} AS {name}" for name in Envelope._fields)
_SENDING = f"""
        UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
            alone = false
        FROM chosen WHERE t.id = chosen.id
        RETURNING {_MESSAGE}, t.due_at{{also}}
    ), boxed AS (
        INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
    ), waits_no_more AS (
        INSERT INTO backlog_delta (queue, state, tasks)
        SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
    )
"""
_SENT, _SENT_OF_SHARES = _SENDING.format(also=""), _SENDING.format(also=", t.caller, t.fairness_key")
_ALONE = " AND id IN (SELECT task_id FROM quarantine_queue WHERE queue = :queue)"
_TOP_UP = (
    """
    WITH chosen AS (
        SELECT id FROM task_live WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL{alone}
            AND NOT """
    + IS_PAUSED.format(queue="CAST(:queue AS text)")
    + """
        ORDER BY priority DESC, due_at, id LIMIT :room FOR UPDATE SKIP LOCKED
    ), sent AS ("""
    + _SENT
    + """
    SELECT sent.*, boxed.id AS outbox_id FROM sent CROSS JOIN boxed ORDER BY priority DESC, due_at, task_id
"""
)
# Rows are passed over that others have locked, for these are sent, cancelled or held at this moment. The outbox row is
# there until they are published: who dies before that leaves it to the reconciler.
_TOP_UP_ALL, _TOP_UP_ALONE = text(_TOP_UP.format(alone="")), text(_TOP_UP.format(alone=_ALONE))

# While a circuit breaker holds somebody: those that stand in front are looked at, and held or sent.
_JUDGED = f"""judged AS (
        SELECT f.*, {BLOCKED_BY} AS held_by FROM f
    ), held AS (
        UPDATE task_live t SET {HELD}, held_reason = '{BY_BREAKER}' || j.held_by FROM judged j
        WHERE t.id = j.id AND j.held_by IS NOT NULL RETURNING t.id
    ), {told("held")}"""
_TAKEN = """
    SELECT sent.*, boxed.id AS outbox_id, found.held FROM (SELECT count(*) AS held FROM held) AS found
    LEFT JOIN (sent CROSS JOIN boxed) ON true ORDER BY priority DESC, due_at, sent.task_id
"""
_SORT_OUT = text(
    """
    WITH f AS (
        SELECT id, task_type, dependencies, priority, due_at FROM task_live
        WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL AND NOT """
    + IS_PAUSED.format(queue="CAST(:queue AS text)")
    + f"""
        ORDER BY priority DESC, due_at, id LIMIT :looked_at FOR UPDATE SKIP LOCKED
    ), {_JUDGED}, chosen AS (
        SELECT id FROM judged WHERE held_by IS NULL ORDER BY priority DESC, due_at, id LIMIT :room
    ), sent AS ("""
    + _SENT
    + _TAKEN
)

# The rows of each share by themselves. Only a range with an order makes the planner take their index.
_OF_SHARES = (
    "SELECT t.* FROM "
    + array_columns({"caller": "text", "key": "text", "most": "integer"}, "w")
    + """ CROSS JOIN LATERAL (
            SELECT t.id, t.task_type, t.dependencies FROM task_live t
            WHERE t.place = 'waiting' AND NOT t.alone
                AND (t.queue, t.priority, t.caller, t.fairness_key)
                    >= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
                AND (t.queue, t.priority, t.caller, t.fairness_key)
                    <= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
                AND t.cancel_requested_at IS NULL AND NOT """
    + IS_PAUSED.format(queue="CAST(:queue AS text)")
    + """
            ORDER BY t.queue, t.priority, t.caller, t.fairness_key, t.due_at, t.id LIMIT w.most FOR UPDATE SKIP LOCKED
        ) AS t LIMIT :room"""
)
_TAKE_TURNS = text(
    f"""
    WITH f AS ({_OF_SHARES}), held AS (SELECT FROM f WHERE false), chosen AS (SELECT id FROM f), sent AS ("""
    + _SENT_OF_SHARES
    + _TAKEN
)
_SORT_OUT_TURNS = text(
    f"""
    WITH f AS ({_OF_SHARES}), {_JUDGED}, chosen AS (SELECT id FROM judged WHERE held_by IS NULL), sent AS ("""
    + _SENT_OF_SHARES
    + _TAKEN
)

# What is to be cancelled does not become due, or it might start before its cancel is done.
_WAKE = text(f"""
    WITH due AS (
        SELECT id, state FROM task_live WHERE place = 'asleep' AND due_at <= now() AND cancel_requested_at IS NULL
        ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), woken AS (
        UPDATE task_live t SET place = 'waiting', state = 'queued' FROM due WHERE t.id = due.id
        RETURNING t.id, t.queue, due.state AS was
    ), {told("woken")}, counted AS (
        INSERT INTO backlog_delta (queue, state, tasks)
        SELECT queue, was, -count(*) FROM woken GROUP BY queue, was
        UNION ALL SELECT queue, 'queued', count(*) FROM woken GROUP BY queue
    )
    SELECT count(*) FROM woken
""")

# Whether it was published before its sender died is not known: sent again, its claim lets only one of two run.
_LEFT_BEHIND = text("""
    WITH old AS (
        DELETE FROM outbox WHERE id IN (
            SELECT id FROM outbox WHERE created_at < now() - CAST(:age AS float8) * interval '1 second'
            ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING task_ids
    ), ids AS (SELECT unnest(task_ids) AS id FROM old)
    , unseen AS (
        SELECT t.id FROM task_live t JOIN ids USING (id) WHERE t.place = 'sent' AND t.state = 'queued'
        ORDER BY t.id FOR UPDATE OF t
    ), again AS (
        UPDATE task_live t SET place = 'waiting' FROM unseen u WHERE t.id = u.id RETURNING t.id
    )
    SELECT (SELECT count(*) FROM old) AS outbox_rows, (SELECT count(*) FROM again) AS tasks
""")

# Two questions, as an index answers each: a task that was never sent needs no claim to end.
_EXPIRED = text("""
    (SELECT id, attempt, false AS sent FROM task_live
        WHERE expires_at <= now() AND place <> 'sent' AND dispatch = 0 ORDER BY expires_at LIMIT :most)
    UNION ALL
    (SELECT id, attempt, true FROM task_live
        WHERE expires_at <= now() AND state <> 'running' AND dispatch > 0 ORDER BY expires_at LIMIT :most)
""")


async def waiting_queues(connection: Connection, queues: Sequence[str]) -> set[str]:
    """The queues with due tasks in Postgres that are not paused."""
    return set((await connection.execute(_WAITING, {"queues": list(queues)})).scalars())


async def top_up(
    connection: Connection, queue: str, room: int, epoch: int, *, alone: bool = False
) -> tuple[list[Envelope], int | None]:
    """Mark up to ``room`` waiting tasks of a queue as sent, most urgent and oldest first, with their outbox row; none
    while it is paused. ``alone``: only the one the queue is kept empty for.

    Returns them with the id of that row, to be dropped once they are published.
    """
    rows = (
        await connection.execute(
            _TOP_UP_ALONE if alone else _TOP_UP_ALL, {"queue": queue, "room": room, "epoch": epoch}
        )
    ).all()
    return _envelopes(rows), rows[0].outbox_id if rows else None


async def sort_out(
    connection: Connection, queue: str, room: int, looked_at: int, epoch: int
) -> tuple[list[Envelope], int | None, int]:
    """``top_up`` among the first ``looked_at`` waiting tasks, while circuit breakers hold some: these are held.

    Returns also how many.
    """
    parameters = {"queue": queue, "room": room, "looked_at": looked_at, "epoch": epoch}
    rows = (await connection.execute(_SORT_OUT, parameters)).all()
    sent = [row for row in rows if row.task_id is not None]
    return _envelopes(sent), sent[0].outbox_id if sent else None, rows[0].held


async def take_turns(
    connection: Connection, queue: str, priority: int, most: Mapping[Share, int], epoch: int, *, is_blocked: bool
) -> Taken:
    """``top_up`` with up to so many tasks of each of these shares; ``is_blocked``: what circuit breakers stand in the
    way of is held instead.
    """
    parameters = {
        "queue": queue,
        "priority": priority,
        "epoch": epoch,
        "caller": [share.caller for share in most],
        "key": [share.key for share in most],
        "most": list(most.values()),
        "room": sum(most.values()),
    }
    if not most:
        return Taken({}, None, 0)
    rows = (await connection.execute(_SORT_OUT_TURNS if is_blocked else _TAKE_TURNS, parameters)).all()
    sent = [row for row in rows if row.task_id is not None]
    by_share: dict[Share, list[Envelope]] = {}
    for row, envelope in zip(sent, _envelopes(sent), strict=True):
        by_share.setdefault(Share(row.caller, row.fairness_key), []).append(envelope)
    return Taken(by_share, sent[0].outbox_id if sent else None, rows[0].held)


def _envelopes(rows: Sequence[Any]) -> list[Envelope]:
    others = slice(1, len(Envelope._fields))
    return [Envelope(str(row.task_id), *row[others]) for row in rows]


async def wake_due(connection: Connection, most: int) -> int:
    """Let tasks whose time has come wait for the dispatcher; at most ``most`` of them. Returns how many."""
    woken: int = (await connection.execute(_WAKE, {"most": most})).scalar_one()
    return woken


async def take_back_left_behind(connection: Connection, age_seconds: float, most: int) -> tuple[int, int]:
    """Let tasks of old outbox rows wait again, unless they were seen to start. Returns outbox rows, and tasks taken
    back.
    """
    row = (await connection.execute(_LEFT_BEHIND, {"age": age_seconds, "most": most})).one()
    return row.outbox_rows, row.tasks


async def expired_unstarted(connection: Connection, most: int) -> tuple[list[str], dict[str, int]]:
    """Tasks whose ``expires_at`` has passed and that do not run: those never sent, and those that once were, with
    their attempt.

    At most ``most`` of each. A message of the second kind may still be about: only its claim decides.
    """
    rows = (await connection.execute(_EXPIRED, {"most": most})).all()
    return [str(row.id) for row in rows if not row.sent], {str(row.id): row.attempt for row in rows if row.sent}

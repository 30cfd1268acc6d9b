"""Tasks held back in Postgres: by which circuit breaker, since when, and let go again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_contract.dependencies import key_of
from pointsman_service.store.breakers.breakers import IN_FIRST_DOUBT, LETS_THROUGH_AT, Key
from pointsman_service.store.changes import told
from pointsman_service.store.store import Connection

BY_BREAKER = "breaker:"
"""``held_reason`` of a task that a circuit breaker holds begins so; then comes ``<scope>:<name>``."""
MOST_IN_A_ROW = 5
"""So many interruptions without an end of its own in between, and a task runs only with nothing beside it."""
QUARANTINE = "quarantine"
"""``held_reason`` of such a task."""

HELD = "state = 'held', place = 'held', held_at = now(), alone = false"
"""SQL: what changes in a row ``t`` when its task is held, beside the reason."""

_PAST = "CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch FROM {until} - {since})::float8) END"


def held_until(moment: str) -> str:
    """SQL: seconds from when a row ``t`` was held to a moment; 0 for one that is not held."""
    return _PAST.format(until=moment, since="t.held_at")


def held_while_due_until(moment: str) -> str:
    """SQL: ``held_until`` without the time before it was due."""
    return _PAST.format(until=moment, since="greatest(t.held_at, t.due_at)")


LET_GO = f"""state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
    held_seconds = t.held_seconds + {held_until("now()")},
    held_wait_seconds = t.held_wait_seconds + {held_while_due_until("now()")}"""
"""SQL: what changes in a row ``t`` when its task is held no longer, and waits to be sent."""

# One that is half open lets its probes pass, for as long as their permits last.
IN_THE_WAY = """breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
    AND ((b.scope = 'task_type' AND b.name = f.task_type)
        OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
    AND NOT (b.seen = 'half_open'
        AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))"""
BLOCKED_BY = f"(SELECT b.scope || ':' || b.name FROM {IN_THE_WAY} ORDER BY b.scope, b.name LIMIT 1)"
"""SQL: ``<scope>:<name>`` of a circuit breaker that keeps a row ``f`` of ``task_live`` from being sent, or NULL."""

# Skips from one reason to the next in the index, however many tasks each has.
_REASONS = text("""
    WITH RECURSIVE reasons AS (
        (SELECT held_reason FROM task_live WHERE place = 'held' ORDER BY held_reason LIMIT 1)
        UNION ALL
        SELECT (SELECT t.held_reason FROM task_live t WHERE t.place = 'held' AND t.held_reason > r.held_reason
            ORDER BY t.held_reason LIMIT 1)
        FROM reasons r WHERE r.held_reason IS NOT NULL
    )
    SELECT held_reason FROM reasons WHERE held_reason IS NOT NULL
""")

_LETTING_GO = f"""
    WITH f AS (
        SELECT id, task_type, dependencies, interrupted_in_a_row >= {MOST_IN_A_ROW} AS alone FROM task_live
        WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL{{among}}
        ORDER BY priority DESC, due_at, id LIMIT :most FOR UPDATE SKIP LOCKED
    ), judged AS (
        SELECT id, coalesce('{BY_BREAKER}' || {BLOCKED_BY}, CASE WHEN f.alone THEN '{QUARANTINE}' END) AS held_by FROM f
    ), passed_on AS (
        UPDATE task_live t SET held_reason = j.held_by FROM judged j WHERE t.id = j.id AND j.held_by IS NOT NULL
    ), let_go AS (
        UPDATE task_live t SET {LET_GO} FROM judged j WHERE t.id = j.id AND j.held_by IS NULL RETURNING t.id
    ), {told("let_go")}
    SELECT count(*) FROM let_go
"""
_RELEASE = text(_LETTING_GO.format(among=""))
_RELEASE_THESE = text(_LETTING_GO.format(among=" AND id = ANY(CAST(:ids AS uuid[]))"))

# Without those that an open breaker holds as well, and those of a queue that is paused or that none of the living
# workers serves: their permits would lapse. One that is half open gets its turn. ``coalesce`` as in ``probing``.
_LOOKED_AT = 1000
_PROBES = text(f"""
    WITH living AS (
        SELECT unnest(queues) AS queue FROM worker
        WHERE last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'
    )
    SELECT f.id FROM (
        SELECT id, task_type, dependencies, priority, due_at FROM task_live
        WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
            AND NOT id = ANY(CAST(:have AS uuid[]))
            AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
            AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)
        ORDER BY priority DESC, due_at, id LIMIT {_LOOKED_AT}
    ) AS f
    WHERE NOT EXISTS (
        SELECT FROM {IN_THE_WAY} AND b.seen <> 'half_open'
            AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text)))
    ORDER BY priority DESC, due_at, id LIMIT :most
""")

# What an open breaker holds as well is no probe, however much of it stands in front.
_PASS_ON = text(f"""
    WITH f AS (
        SELECT id, task_type, dependencies FROM task_live
        WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        ORDER BY priority DESC, due_at, id LIMIT {_LOOKED_AT} FOR UPDATE SKIP LOCKED
    ), judged AS (
        SELECT f.id, (SELECT b.scope || ':' || b.name FROM {IN_THE_WAY} AND b.seen <> 'half_open'
            AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text))
            ORDER BY b.scope, b.name LIMIT 1) AS held_by FROM f
    )
    UPDATE task_live t SET held_reason = '{BY_BREAKER}' || j.held_by FROM judged j
    WHERE t.id = j.id AND j.held_by IS NOT NULL
""")

_LET_PROBES_GO = text(f"""
    WITH probes AS (
        SELECT id FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND place = 'held' AND held_reason = :reason
            AND cancel_requested_at IS NULL
        ORDER BY id FOR UPDATE
    ), let_go AS (
        UPDATE task_live t SET {LET_GO} FROM probes p WHERE t.id = p.id RETURNING t.id
    ), {told("let_go")}
    SELECT id FROM let_go
""")

# Other services lease permits, too: those name no task.
_RUNNING_PROBES = text("""
    SELECT b.scope, b.name, p.permit FROM breaker b
    CROSS JOIN LATERAL jsonb_each_text(coalesce(b.machine -> 'permits', '{}')) AS p (permit, until)
    JOIN task_live t ON t.id =
        CASE WHEN p.permit ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p.permit::uuid END
    WHERE b.seen = 'half_open' AND b.scope <> 'worker' AND t.state = 'running'
        AND p.until::float8 - extract(epoch FROM now())
            < coalesce((b.policy ->> 'permit_seconds')::float8, :permit_seconds) / 2
""")

# Nothing comes of them any more: they ended without an attempt, or wait for something else than a permit of another
# breaker. What ends by an attempt gives its permit back in the transaction that ends it.
_LOST_PROBES = text(f"""
    SELECT p.scope, p.name, p.permit FROM (
        SELECT b.scope, b.name, p.permit,
            CASE WHEN p.permit ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' THEN p.permit::uuid END
                AS task_id
        FROM breaker b CROSS JOIN LATERAL jsonb_each_text(coalesce(b.machine -> 'permits', '{{}}')) AS p (permit, until)
        WHERE b.seen = 'half_open' AND b.scope <> 'worker' AND p.until::float8 > extract(epoch FROM now())
    ) AS p
    WHERE EXISTS (SELECT FROM task t WHERE t.id = p.task_id)
        OR EXISTS (SELECT FROM task_live t WHERE t.id = p.task_id AND t.state <> 'running' AND (
            t.cancel_requested_at IS NOT NULL OR t.place = 'asleep'
            OR (t.place = 'held' AND t.held_reason <> '{BY_BREAKER}' || p.scope || ':' || p.name AND NOT EXISTS (
                SELECT FROM breaker o
                WHERE o.seen = 'half_open' AND t.held_reason = '{BY_BREAKER}' || o.scope || ':' || o.name))))
""")

# One probe of the index for each type: what is held of others, however much, is not looked at. Only a range with an
# order makes the planner take the index: 0.3 ms with 100,000 of others, 59 ms by equality.
_FAIL_FAST = text("""
    SELECT t.id, t.attempt, t.dispatch = 0 AS never_sent FROM unnest(CAST(:task_types AS text[])) AS known (task_type)
    CROSS JOIN LATERAL (
        SELECT id, attempt, dispatch FROM task_live
        WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
            AND task_type BETWEEN known.task_type AND known.task_type
            AND NOT id = ANY(CAST(:spared AS uuid[]))
        ORDER BY task_type LIMIT :most) AS t
    LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that is to end instead of being held."""

    id: str
    attempt: int
    never_sent: bool
    """Whether no message of it can be about."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """A circuit breaker that holds tasks."""

    key: Key
    seen: str
    lets_through_at: datetime | None
    """None: nobody knows."""
    lacks_probes: bool
    """Whether it is half open, has permits free, and holds nobody who could get one."""
    is_doubt: bool = False
    """Whether it is of a task type and may be wrong: others than those that failed are tried this very moment."""


_BLOCKING = text(f"""
    SELECT scope, name, seen, {LETS_THROUGH_AT} AS lets_through_at, seen = 'half_open'
        AND NOT EXISTS (SELECT FROM task_live t
            WHERE t.place = 'held' AND t.held_reason = '{BY_BREAKER}' || b.scope || ':' || b.name)
        AND (SELECT count(*) FROM jsonb_each_text(coalesce(b.machine -> 'permits', '{{}}')) p
            WHERE p.value::float8 > extract(epoch FROM now()))
            < coalesce((b.policy ->> 'half_open_permits')::int, :permits) AS lacks_probes,
        {IN_FIRST_DOUBT} AS is_doubt
    FROM breaker b
    WHERE seen <> 'closed' AND seen <> 'disabled' AND scope <> 'worker' ORDER BY scope, name
""")

_ANY_BLOCKING = text("""
    SELECT EXISTS (SELECT FROM breaker WHERE seen <> 'closed' AND seen <> 'disabled' AND scope <> 'worker')
""")


async def blocking(connection: Connection, permits: int) -> list[Blocking]:
    """The circuit breakers that hold tasks now. ``permits``: of the default policy."""
    rows = await connection.execute(_BLOCKING, {"permits": permits})
    return [
        Blocking((row.scope, row.name), row.seen, row.lets_through_at, row.lacks_probes, row.is_doubt) for row in rows
    ]


async def is_anything_blocked(connection: Connection) -> bool:
    """Whether any circuit breaker holds tasks now."""
    found: bool = (await connection.execute(_ANY_BLOCKING)).scalar_one()
    return found


async def breakers_with_tasks(connection: Connection) -> list[Key]:
    """The circuit breakers that held tasks name, whatever these are now."""
    reasons = (await connection.execute(_REASONS)).scalars()
    return [key_of(reason.removeprefix(BY_BREAKER)) for reason in reasons if reason.startswith(BY_BREAKER)]


async def release(connection: Connection, key: Key, most: int) -> int:
    """Let up to ``most`` tasks of a breaker wait to be sent, the most urgent and then the oldest first; those that
    another one stands in the way of are held by that one, and those in quarantine stay in it. Returns how many were let
    go.
    """
    return int((await connection.execute(_RELEASE, {"reason": reason_of(key), "most": most})).scalar_one())


async def release_these(connection: Connection, key: Key, ids: Sequence[str]) -> int:
    """``release`` of these, where the breaker still holds them."""
    parameters = {"reason": reason_of(key), "most": len(ids), "ids": list(ids)}
    return int((await connection.execute(_RELEASE_THESE, parameters)).scalar_one())


async def pass_on(connection: Connection, key: Key) -> None:
    """Let the first tasks of a half-open breaker be held by another one instead, where that is open."""
    await connection.execute(_PASS_ON, {"reason": reason_of(key), "scope": key[0], "name": key[1]})


async def choose_probes(
    connection: Connection, key: Key, most: int, have: Sequence[str], dead_seconds: float
) -> list[str]:
    """Up to ``most`` tasks of this breaker that no other open one holds, the most urgent and then the oldest first,
    without those that ``have`` a permit. Those of a queue that no worker serves are passed over, unless no worker was
    seen within ``dead_seconds`` at all.
    """
    parameters = {
        "reason": reason_of(key),
        "scope": key[0],
        "name": key[1],
        "most": most,
        "have": list(have),
        "dead_seconds": dead_seconds,
    }
    return [str(found) for found in (await connection.execute(_PROBES, parameters)).scalars()]


async def let_probes_go(connection: Connection, key: Key, ids: Sequence[str]) -> list[str]:
    """Let these tasks wait to be sent, where this breaker still holds them; those it held."""
    rows = await connection.execute(_LET_PROBES_GO, {"reason": reason_of(key), "ids": list(ids)})
    return [str(found) for found in rows.scalars()]


async def running_probes(connection: Connection, permit_seconds: float) -> dict[Key, list[str]]:
    """The permits of tasks that run, where less than half of their time is left; ``permit_seconds``: of the default
    policy.
    """
    found: dict[Key, list[str]] = {}
    for row in await connection.execute(_RUNNING_PROBES, {"permit_seconds": permit_seconds}):
        found.setdefault((row.scope, row.name), []).append(row.permit)
    return found


async def lost_probes(connection: Connection) -> dict[Key, list[str]]:
    """The permits of tasks that will not run with them: those that ended without an attempt, are to be cancelled, or
    wait for something else than this breaker.
    """
    found: dict[Key, list[str]] = {}
    for row in await connection.execute(_LOST_PROBES):
        found.setdefault((row.scope, row.name), []).append(row.permit)
    return found


async def held_of(
    connection: Connection, key: Key, task_types: Sequence[str], spared: Sequence[str], most: int
) -> list[HeldTask]:
    """Up to ``most`` tasks of these types that a breaker holds, but for ``spared``."""
    parameters = {"reason": reason_of(key), "task_types": list(task_types), "spared": list(spared), "most": most}
    rows = await connection.execute(_FAIL_FAST, parameters)
    return [HeldTask(str(row.id), row.attempt, row.never_sent) for row in rows]


def reason_of(key: Key) -> str:
    """The ``held_reason`` of tasks that a breaker holds."""
    return f"{BY_BREAKER}{key[0]}:{key[1]}"

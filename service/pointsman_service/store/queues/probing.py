"""Which of the tasks that the breaker of a task type holds are tried: those least like the ones that failed.

What tells tasks apart is who submitted them and their tags. What at least half of the failed ones have in common is
what may be wrong with them; a task that lacks some of it is *unlike* them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text

from pointsman_service.store.breakers.breakers import Key
from pointsman_service.store.queues.holding import IN_THE_WAY, reason_of, release_these
from pointsman_service.store.store import Connection


class Wanted(NamedTuple):
    """Who may be a probe."""

    accused: Sequence[str]
    """The tasks that failed."""
    any_may: bool
    """Also those that have failed before, after all others."""
    only_others: bool
    """Only those unlike them."""


_LOOKED_AT = 500
"""The most urgent and oldest, as many of the other end, and as many from somewhere between, each time elsewhere: what
somebody submitted at once does not hide the rest, nor does more of it that follows.
"""

# A tag called so cannot be told from the caller; then two things count as one.
_CALLER = "' caller'"
_OF_A_TASK = f"""SELECT key, value FROM jsonb_each_text({{of}}.tags)
            UNION ALL SELECT {_CALLER}, {{of}}.caller"""
_COLUMNS = "id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags"
_HELD = """task_live
        WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL"""
_LIKENESS = f"""
    accused AS MATERIALIZED (
        SELECT caller, tags FROM task_live WHERE id = ANY(CAST(:accused AS uuid[]))
        UNION ALL SELECT caller, tags FROM task WHERE id = ANY(CAST(:accused AS uuid[]))
            AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
    ), common AS MATERIALIZED (
        SELECT key, value FROM accused CROSS JOIN LATERAL ({_OF_A_TASK.format(of="accused")}) AS tells
        GROUP BY key, value HAVING 2 * count(*) >= (SELECT count(*) FROM accused)
    ), ends AS MATERIALIZED (
        SELECT (SELECT priority FROM {_HELD} ORDER BY priority DESC LIMIT 1) AS most,
            (SELECT priority FROM {_HELD} ORDER BY priority LIMIT 1) AS least
    ), level AS MATERIALIZED (
        SELECT least + floor(random() * (most - least + 1))::smallint AS priority FROM ends
    ), between AS MATERIALIZED (
        SELECT l.priority, (SELECT due_at FROM {_HELD} AND priority = l.priority ORDER BY due_at LIMIT 1)
            + random() * ((SELECT due_at FROM {_HELD} AND priority = l.priority ORDER BY due_at DESC LIMIT 1)
            - (SELECT due_at FROM {_HELD} AND priority = l.priority ORDER BY due_at LIMIT 1)) AS due_at
        FROM level l
    ), looked_at AS (
        (SELECT {_COLUMNS} FROM {_HELD}{{also}} ORDER BY priority DESC, due_at, id LIMIT {_LOOKED_AT})
        UNION
        (SELECT {_COLUMNS} FROM {_HELD}{{also}} ORDER BY priority, due_at DESC, id DESC LIMIT {_LOOKED_AT})
        UNION
        (SELECT {_COLUMNS} FROM {_HELD}{{also}} AND priority = (SELECT priority FROM between)
            AND due_at >= (SELECT due_at FROM between) ORDER BY priority DESC, due_at, id LIMIT {_LOOKED_AT})
    ), f AS (
        SELECT looked_at.*, (SELECT count(*) FROM ({_OF_A_TASK.format(of="looked_at")}) AS tells
            JOIN common USING (key, value)) AS shared FROM looked_at
    )"""

# One of each caller and its tags before a second of any. Where there is one queue only, the planner takes it that none
# is left, and reads and sorts everything that is held: ``coalesce`` keeps it from that.
_PROBES = text(
    "    WITH living AS (SELECT unnest(queues) AS queue FROM worker"
    " WHERE last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'),"
    + _LIKENESS.format(
        also="""
            AND NOT id = ANY(CAST(:have AS uuid[]))
            AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
            AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)"""
    )
    + f"""
    SELECT f.id FROM f WHERE (NOT has_failed OR :any_may)
        AND (NOT :only_others OR shared < (SELECT count(*) FROM common))
        AND NOT EXISTS (SELECT FROM {IN_THE_WAY} AND b.seen <> 'half_open'
            AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text)))
    ORDER BY has_failed, shared,
        row_number() OVER (PARTITION BY has_failed, caller, tags ORDER BY priority DESC, due_at, id),
        priority DESC, due_at, id
    LIMIT :most
"""
)

_OTHERS = text(
    "    WITH"
    + _LIKENESS.format(also="")
    + """
    SELECT id FROM f WHERE NOT has_failed AND shared < (SELECT count(*) FROM common)
    ORDER BY priority DESC, due_at, id LIMIT :most
"""
)


# What half of the bad ones have and the well ones lack: without any nothing tells them apart.
_ARE_KNOWN = text(f"""
    WITH known AS MATERIALIZED (
        SELECT id, caller, tags FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL SELECT id, caller, tags FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
            AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
    ), tells AS MATERIALIZED (
        SELECT known.id, key, value FROM known CROSS JOIN LATERAL ({_OF_A_TASK.format(of="known")}) AS tells
    ), telling AS MATERIALIZED (
        SELECT key, value FROM tells WHERE id = ANY(CAST(:bad AS uuid[]))
        GROUP BY key, value HAVING 2 * count(*) >= cardinality(CAST(:bad AS uuid[]))
        EXCEPT SELECT key, value FROM tells WHERE id = ANY(CAST(:well AS uuid[]))
    )
    SELECT EXISTS (SELECT FROM telling) AND NOT EXISTS (
        SELECT FROM unnest(CAST(:accused AS uuid[])) AS a (id) WHERE EXISTS (
            SELECT FROM telling WHERE NOT EXISTS (
                SELECT FROM tells WHERE tells.id = a.id AND tells.key = telling.key AND tells.value = telling.value)))
""")


async def choose_probes(
    connection: Connection, key: Key, most: int, have: Sequence[str], dead_seconds: float, wanted: Wanted
) -> list[str]:
    """Up to ``most`` tasks that the breaker of a task type holds and no other open one, without those that ``have`` a
    permit: those that have not failed first, then those least like the ``accused``. Those of a queue that no worker
    serves are passed over, unless no worker was seen within ``dead_seconds`` at all.
    """
    parameters = {
        **_of(key, wanted.accused),
        "scope": key[0],
        "name": key[1],
        "most": most,
        "have": list(have),
        "dead_seconds": dead_seconds,
        "any_may": wanted.any_may,
        "only_others": wanted.only_others,
    }
    return [str(found) for found in (await connection.execute(_PROBES, parameters)).scalars()]


async def release_others(connection: Connection, key: Key, accused: Sequence[str], most: int) -> int:
    """Let up to ``most`` tasks go that have not failed and are unlike those that did. Returns how many."""
    rows = await connection.execute(_OTHERS, {**_of(key, accused), "most": most})
    ids = [str(found) for found in rows.scalars()]
    return await release_these(connection, key, ids) if ids else 0


async def are_known(connection: Connection, bad: Sequence[str], well: Sequence[str], accused: Sequence[str]) -> bool:
    """Whether all of the ``accused`` have what tells ``bad`` tasks from ``well`` ones; False where nothing does."""
    ids = [*bad, *well, *accused]
    if not (bad and well and accused):
        return False
    parameters = {
        "ids": ids,
        "bad": list(bad),
        "well": list(well),
        "accused": list(accused),
        "low": min(ids),
        "high": max(ids),
    }
    found: bool = (await connection.execute(_ARE_KNOWN, parameters)).scalar_one()
    return found


def _of(key: Key, accused: Sequence[str]) -> dict[str, object]:
    nobody = "00000000-0000-0000-0000-000000000000"
    return {
        "reason": reason_of(key),
        "accused": list(accused),
        "low": min(accused, default=nobody),
        "high": max(accused, default=nobody),
    }

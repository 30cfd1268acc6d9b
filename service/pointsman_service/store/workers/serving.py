"""Which task types the living workers of each queue have published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class LivingNode:
    """A worker parent that beats."""

    owner: str
    name: str
    queues: tuple[str, ...] | None
    """None: it has just published its task types, and its first beat was not written down yet."""
    published_at: datetime | None
    """When it last published its task types; None: it has not yet."""


_JOINING_SECONDS = 30
_NODES = text(f"""
    SELECT w.owner, w.name, w.queues, c.published_at FROM worker w LEFT JOIN worker_catalogue c USING (owner)
    WHERE w.last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'
    UNION ALL
    SELECT c.owner, '', NULL, c.published_at FROM worker_catalogue c
    WHERE c.published_at > now() - interval '{_JOINING_SECONDS} seconds'
        AND NOT EXISTS (SELECT FROM worker w WHERE w.owner = c.owner)
    ORDER BY owner
""")
# Nodes of one release have published the same: each such list is looked through once.
_TYPES = text("""
    WITH offers AS (
        SELECT DISTINCT content_hashes FROM worker_catalogue WHERE owner = ANY(CAST(:owners AS text[]))
    ), named AS (
        SELECT o.content_hashes, array_agg(DISTINCT t.name) AS names FROM offers o
        CROSS JOIN unnest(o.content_hashes) AS h (content_hash) JOIN task_type t USING (content_hash) GROUP BY 1
    )
    SELECT c.owner, n.names FROM worker_catalogue c JOIN named n USING (content_hashes)
    WHERE c.owner = ANY(CAST(:owners AS text[]))
""")


async def living_nodes(connection: Connection, dead_seconds: float) -> list[LivingNode]:
    """Every node whose beat was written down within ``dead_seconds``, and those that have just come. None where nobody
    writes beats down.
    """
    rows = await connection.execute(_NODES, {"dead_seconds": dead_seconds})
    return [
        LivingNode(row.owner, row.name, None if row.queues is None else tuple(row.queues), row.published_at)
        for row in rows
    ]


async def published_types(connection: Connection, owners: Sequence[str]) -> dict[str, frozenset[str]]:
    """The names of the task types that each of these nodes has published. One that published none is absent."""
    shared: dict[tuple[str, ...], frozenset[str]] = {}
    found = {}
    for row in await connection.execute(_TYPES, {"owners": list(owners)}):
        names = tuple(row.names)
        found[row.owner] = shared.setdefault(names, frozenset(names))
    return found

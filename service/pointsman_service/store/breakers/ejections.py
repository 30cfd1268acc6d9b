"""Workers that are taken off their queues, or were and are on probation: their breakers, and who lives beside them."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text

from pointsman_service.store.store import Connection

SCOPE = "worker"
"""The scope of the breakers of workers; their name is the node's."""


@dataclass(frozen=True, slots=True)
class EjectionRow:
    """A worker whose breaker is not closed."""

    name: str
    seen: str
    since: float
    """Unix seconds."""
    reason: str
    actor: str
    until: float | None
    """Unix seconds: when time alone changes it."""


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """One start of a node that was seen lately."""

    name: str
    owner: str
    pool: str
    queues: list[str]


EJECTIONS = text("""
    SELECT b.name, b.seen, extract(epoch FROM coalesce(t.at, b.updated_at))::float8 AS since,
        coalesce(b.machine->'override'->>'reason', t.reason, '') AS reason,
        coalesce(b.machine->'override'->>'actor', t.actor, '') AS actor,
        CASE b.seen WHEN 'open' THEN (b.machine->>'retry_at')::float8
            WHEN 'half_open' THEN NULL ELSE (b.machine->'override'->>'expires_at')::float8 END AS until
    FROM breaker b LEFT JOIN LATERAL (
        SELECT at, reason, actor FROM breaker_transition t WHERE t.scope = b.scope AND t.name = b.name
        ORDER BY t.id DESC LIMIT 1
    ) t ON true
    WHERE b.scope = 'worker' AND b.seen <> 'closed' ORDER BY b.name
""")
# Of two starts of one node the newer one counts: the older is about to end.
_LIVE = text("""
    SELECT DISTINCT ON (name) name, owner, pool, queues FROM worker
    WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
        AND NOT owner = ANY(CAST(:ending AS text[]))
    ORDER BY name, started_at DESC, owner
""")
_POOL = text("SELECT pool FROM worker WHERE name = :name ORDER BY last_seen_at DESC LIMIT 1")
_HELD = text("SELECT EXISTS (SELECT FROM breaker WHERE scope = 'worker' AND name = :name AND seen <> 'closed')")
# Two who decide at once could each leave half of a pool, and both together nothing.
_IN_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('pointsman ejections', 0))")
_FORGET = text("""
    DELETE FROM breaker b WHERE scope = 'worker' AND policy IS NULL
        AND updated_at < now() - CASE WHEN seen IN ('forced_open', 'disabled') THEN interval '7 days'
            ELSE interval '1 day' END
        AND NOT EXISTS (SELECT FROM worker w WHERE w.name = b.name)
    RETURNING name
""")


async def in_turn(connection: Connection) -> None:
    """Until the transaction ends, nobody else decides about workers."""
    await connection.execute(_IN_TURN)


async def ejections(connection: Connection) -> list[EjectionRow]:
    """Every worker whose breaker is not closed, by name."""
    return [EjectionRow(*row) for row in await connection.execute(EJECTIONS)]


async def live(connection: Connection, seen_within_seconds: float, ending: Iterable[str] = ()) -> list[LiveWorker]:
    """The nodes that were seen lately, but for the owners that are ``ending``."""
    found = await connection.execute(_LIVE, {"seen_within": seen_within_seconds, "ending": sorted(ending)})
    return [LiveWorker(*row) for row in found]


async def pool_of(connection: Connection, name: str) -> str | None:
    """The pool of a node seen within the last day, None for one that was not."""
    found: str | None = (await connection.execute(_POOL, {"name": name})).scalar_one_or_none()
    return found


async def is_held(connection: Connection, name: str) -> bool:
    """Whether the breaker of this worker is not closed."""
    found: bool = (await connection.execute(_HELD, {"name": name})).scalar_one()
    return found


async def forget_gone(connection: Connection) -> list[str]:
    """Drop the breakers of workers that were not seen for a day, those set by hand after a week; their names."""
    return list((await connection.execute(_FORGET)).scalars())

"""Task types as workers published them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Row, text

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.store import Connection
from pointsman_service.telemetry import logger

log = logger(__name__)

TaskType = tuple[TaskTypeSpec, datetime]
"""With the time it was last published."""


class Publisher(NamedTuple):
    """One start of a node that offers a task type."""

    owner: str
    last_seen_at: datetime | None
    """None: it is not kept any more."""
    published_at: datetime
    version: str
    """What it offers, by its content."""
    first_published_at: datetime
    """When that version was first seen, from anybody."""


# In the order of names, or two workers that start at once would wait for one another.
_PUBLISH = text("""
    INSERT INTO task_type (name, content_hash, spec)
    SELECT name, content_hash, spec::jsonb
    FROM unnest(CAST(:name AS text[]), CAST(:content_hash AS text[]), CAST(:spec AS text[]))
        AS rows (name, content_hash, spec)
    ORDER BY name
    ON CONFLICT (name, content_hash) DO UPDATE SET last_published_at = now()
""")

_OFFER = text("""
    INSERT INTO worker_catalogue (owner, content_hashes) VALUES (:owner, CAST(:content_hash AS text[]))
    ON CONFLICT (owner) DO UPDATE SET content_hashes = excluded.content_hashes, published_at = now()
    RETURNING xmax = 0 AS is_new
""")

_FORGET_OFFERS = text("""
    DELETE FROM worker_catalogue c WHERE published_at < now() - interval '1 day'
        AND NOT EXISTS (SELECT FROM worker w WHERE w.owner = c.owner)
""")

# Among versions that a living worker runs, the one seen first last is the newest: an old worker that restarts during a
# deployment does not bring its version back. Without a living worker it is the one that was published last.
_NEWEST = text("""
    WITH live AS (
        SELECT DISTINCT unnest(c.content_hashes) AS content_hash FROM worker_catalogue c JOIN worker w USING (owner)
        WHERE w.last_seen_at > now() - CAST(:alive AS float8) * interval '1 second'
    )
    SELECT DISTINCT ON (name) t.name, t.spec, t.last_published_at, t.content_hash,
        live.content_hash IS NOT NULL AS is_live
    FROM task_type t LEFT JOIN live USING (content_hash)
    WHERE t.name > :after AND (CAST(:name AS text) IS NULL OR t.name = :name)
    ORDER BY name, is_live DESC, CASE WHEN live.content_hash IS NULL THEN t.last_published_at
        ELSE t.first_published_at END DESC, t.last_published_at DESC, t.content_hash
    LIMIT :most
""")

# Whoever offers any version of a type, the newest word first; a start that is gone for a day is forgotten.
_PUBLISHERS = text("""
    SELECT c.owner, w.last_seen_at, c.published_at, t.content_hash, t.first_published_at
    FROM worker_catalogue c JOIN task_type t ON t.name = :name AND t.content_hash = ANY(c.content_hashes)
    LEFT JOIN worker w USING (owner)
    ORDER BY w.last_seen_at DESC NULLS LAST, c.published_at DESC, c.owner LIMIT :most
""")

ALIVE_SECONDS = 30.0
"""A worker seen so recently counts as living here: a version must not change with every late beat."""


async def fail_fast_types(connection: Connection) -> list[str]:
    """The task types whose newest version fails at once where others are held."""
    return [spec.name for spec, _ in await newest(connection) if spec.fail_fast]


async def publish(connection: Connection, owner: str, specs: Sequence[TaskTypeSpec]) -> bool:
    """Remember the task types of a worker parent that started. Those of parents gone for a day are forgotten.

    Returns whether nobody knew of this start.
    """
    by_name = {spec.name: spec for spec in specs}
    columns = {
        "name": list(by_name),
        "content_hash": [spec.content_hash() for spec in by_name.values()],
        "spec": [spec.model_dump_json() for spec in by_name.values()],
    }
    await connection.execute(_PUBLISH, columns)
    offered = await connection.execute(_OFFER, {"owner": owner, "content_hash": columns["content_hash"]})
    is_new: bool = offered.scalar_one()
    await connection.execute(_FORGET_OFFERS)
    return is_new


async def newest(connection: Connection) -> list[TaskType]:
    """The version of every task type that counts, with the time it was last published, by name."""
    return _readable(await _rows(connection))


async def page(connection: Connection, after: str, most: int) -> tuple[list[TaskType], str | None]:
    """Up to ``most`` task types with names after ``after``, and the name to go on after, None after the last."""
    rows = await _rows(connection, after=after, most=most + 1)
    return _readable(rows[:most]), rows[most - 1].name if len(rows) > most else None


async def find(connection: Connection, name: str) -> TaskType | None:
    """The task type of that name."""
    return next(iter(_readable(await _rows(connection, name=name))), None)


async def find_version(connection: Connection, name: str) -> tuple[TaskTypeSpec, datetime, str] | None:
    """The same with its content hash as it was published: what is kept as JSON has another order."""
    rows = await _rows(connection, name=name)
    return next(((*found, row.content_hash) for found, row in zip(_readable(rows), rows, strict=False)), None)


async def publishers(connection: Connection, name: str, most: int) -> list[Publisher]:
    """Who offers the task type of that name, the one that was seen last first."""
    return [Publisher(*row) for row in await connection.execute(_PUBLISHERS, {"name": name, "most": most})]


async def _rows(
    connection: Connection, *, after: str = "", name: str | None = None, most: int | None = None
) -> Sequence[Row[Any]]:
    parameters = {"alive": ALIVE_SECONDS, "after": after, "name": name, "most": most}
    return (await connection.execute(_NEWEST, parameters)).all()


def _readable(rows: Sequence[Row[Any]]) -> list[TaskType]:
    found = []
    for row in rows:
        try:
            found.append((TaskTypeSpec.model_validate(row.spec), row.last_published_at))
        except ValidationError as error:
            log.error("a published task type cannot be read and is left out", task_type=row.name, reason=str(error))
    return found

"""Task types as workers published them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from contract.catalogue import TaskTypeSpec
from service.store.store import Connection

_PUBLISH = text("""
    INSERT INTO task_type (name, content_hash, spec)
    SELECT name, content_hash, spec::jsonb
    FROM unnest(CAST(:name AS text[]), CAST(:content_hash AS text[]), CAST(:spec AS text[]))
        AS rows (name, content_hash, spec)
    ORDER BY name
    ON CONFLICT (name, content_hash) DO UPDATE SET last_published_at = now()
""")

_NEWEST = text("""
    SELECT DISTINCT ON (name) spec, last_published_at FROM task_type ORDER BY name, last_published_at DESC, content_hash
""")

_RELEASE = text("""
    WITH held AS (
        SELECT id FROM task_live WHERE place = 'held' AND held_reason = :reason
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL FROM held WHERE t.id = held.id
""")

UNKNOWN_TASK_TYPE = "unknown_task_type"
"""``held_reason`` of a task whose worker does not know its type."""


async def publish(connection: Connection, specs: Sequence[TaskTypeSpec]) -> None:
    """Remember the task types of a worker that started."""
    by_name = {spec.name: spec for spec in specs}
    columns = {
        "name": list(by_name),
        "content_hash": [spec.content_hash() for spec in by_name.values()],
        "spec": [spec.model_dump_json() for spec in by_name.values()],
    }
    await connection.execute(_PUBLISH, columns)


async def release_held(connection: Connection, most: int) -> int:
    """Let up to ``most`` tasks that some worker did not know try again. Returns how many."""
    return (await connection.execute(_RELEASE, {"reason": UNKNOWN_TASK_TYPE, "most": most})).rowcount


async def newest(connection: Connection) -> list[tuple[TaskTypeSpec, datetime]]:
    """The newest version of every task type, with the time it was last published, by name."""
    rows = await connection.execute(_NEWEST)
    return [(TaskTypeSpec.model_validate(row.spec), row.last_published_at) for row in rows]

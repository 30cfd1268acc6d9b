"""Which groups there are, and how many of them a task type got lately."""

from collections.abc import Collection

from sqlalchemy import text

from pointsman_service.failures.fingerprint import VERSION
from pointsman_service.store.store import Connection

_THERE = text("SELECT id FROM error_group WHERE id = ANY(CAST(:ids AS uuid[]))")
# Those of other rules leave room: what they told apart may have been one.
_BEGUN = text("""
    SELECT t.task_type, (SELECT count(*) FROM (
        SELECT FROM error_group g WHERE g.task_type = t.task_type AND g.first_seen_at > now() - interval '1 day'
            AND g.version = :version
        LIMIT :most) AS begun) AS groups
    FROM unnest(CAST(:task_types AS text[])) AS t (task_type)
""")


async def there(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these groups that are stored."""
    return {str(found) for found in (await connection.execute(_THERE, {"ids": list(ids)})).scalars()}


async def begun_lately(connection: Connection, task_types: Collection[str], most: int) -> dict[str, int]:
    """How many groups each of these task types got within a day; ``most`` stands for more."""
    parameters = {"task_types": sorted(task_types), "most": most, "version": VERSION}
    return {row.task_type: row.groups for row in await connection.execute(_BEGUN, parameters)}

"""The order in which rows of ``task_live`` are locked, so that nobody waits for each other in a circle.

A transaction that changes more than one row either passes over those that are locked, or locks what it will change by
rising id before it changes it: with one statement, ``ORDER BY id FOR UPDATE``, or with several, each above the one
before. Whoever waits for a row then holds none with a higher id.

``tests/integration/test_lock_order.py`` holds those who wait to it.
"""

from collections.abc import Collection

from sqlalchemy import text

from pointsman_service.store.store import Connection

_LOCK = text("SELECT FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")


async def lock_tasks(connection: Connection, ids: Collection[str]) -> None:
    """Lock the rows of these tasks until the transaction ends; those that are finished have none."""
    if ids:
        await connection.execute(_LOCK, {"ids": list(ids)})

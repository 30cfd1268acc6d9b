"""Whoever fails for good is a dead letter, in the transaction in which it ends."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_contract.states import TaskState
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.buried import LETTER, OF_ALL_TIME, counted
from pointsman_service.store.listeners import Ends

_COLUMNS = {"task_id": "uuid", "task_type": "text", "error_type": "text", "queue": "text", "failed_at": "timestamptz"}
_BURY = text(
    f"WITH added AS (INSERT INTO dead_letter ({LETTER}) SELECT {LETTER} FROM "
    + array_columns(_COLUMNS)
    + f" ON CONFLICT DO NOTHING RETURNING {LETTER})\n"
    + counted("added")
)
# Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
_FOLD = text(f"""
    WITH taken AS (
        DELETE FROM dead_letter_delta WHERE id IN (SELECT id FROM dead_letter_delta ORDER BY id LIMIT :most)
        RETURNING task_type, error_type, queue, hour, tasks
    ), added AS (
        INSERT INTO dead_letter_count AS old (task_type, error_type, queue, hour, tasks)
        SELECT t.task_type, t.error_type, t.queue, step.hour, sum(t.tasks) FROM taken t
            CROSS JOIN LATERAL (VALUES (t.hour), (CAST('{OF_ALL_TIME}' AS timestamptz))) AS step (hour)
        GROUP BY t.task_type, t.error_type, t.queue, step.hour
        ORDER BY t.task_type, t.error_type, t.queue, step.hour
        ON CONFLICT (task_type, error_type, queue, hour) DO UPDATE SET tasks = old.tasks + excluded.tasks
    )
    SELECT count(*) FROM taken
""")


async def bury(connection: AsyncConnection, ends: Ends) -> None:
    """Make dead letters of the tasks that ended as failed; in the transaction of the rows."""
    failed = [one for one in ends.tasks if one.moved.state == TaskState.FAILED]
    if failed:
        await connection.execute(
            _BURY,
            {
                "task_id": [one.moved.id for one in failed],
                "task_type": [one.moved.task_type for one in failed],
                "error_type": [one.end.error_type or "" for one in failed],
                "queue": [one.moved.queue for one in failed],
                "failed_at": [one.end.finished_at for one in failed],
            },
        )


async def fold(connection: AsyncConnection, most: int) -> int:
    """Add up to ``most`` deltas to the numbers of dead letters. Returns how many; readers see the same before and
    after.
    """
    taken: int = (await connection.execute(_FOLD, {"most": most})).scalar_one()
    return taken

"""The dead letters: failed tasks that were not run again."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text

from pointsman_contract.states import TaskState
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.reading import ID_SLACK
from pointsman_service.store.upkeep.partitions import lowest_id

NOT_REPLAYED = "NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id)"
"""SQL: no task of ``task`` was run again."""


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are meant; None means all."""

    task_type: str | None = None
    error_type: str | None = None
    queue: str | None = None
    failed_after: datetime | None = None
    """Failed then or later."""
    failed_before: datetime | None = None
    """Failed earlier."""

    def given(self) -> dict[str, Any]:
        """The conditions that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


STATES = frozenset({TaskState.FAILED})

_GROUPS = """
    SELECT g.*, t.error_message AS example_message FROM (
        SELECT task_type, error_type, count(*) AS tasks, min(finished_at) AS first_failed_at,
            max(finished_at) AS last_failed_at, max(id::text)::uuid AS example_id,
            array_agg(DISTINCT queue ORDER BY queue) AS queues
        FROM task WHERE {where} GROUP BY task_type, error_type
        ORDER BY tasks DESC, task_type, error_type LIMIT :most
    ) AS g JOIN task t ON t.id = g.example_id
    ORDER BY g.tasks DESC, g.task_type, g.error_type
"""
_CHOSEN = """
    WITH found AS (SELECT id FROM task WHERE {where})
    SELECT (SELECT count(*) FROM found) AS matched, ARRAY(SELECT id FROM found ORDER BY id LIMIT :most) AS ids
"""


async def groups(connection: Connection, wanted: DeadLetterFilter, most: int) -> list[dict[str, Any]]:
    """The dead letters by task type and error type, the largest group first."""
    statement, parameters = groups_of(wanted)
    return [dict(row) for row in (await connection.execute(statement, parameters | {"most": most})).mappings()]


async def chosen(connection: Connection, wanted: DeadLetterFilter, most: int) -> tuple[int, list[str]]:
    """How many dead letters there are, and the ids of the oldest."""
    statement, parameters = chosen_of(wanted)
    row = (await connection.execute(statement, parameters | {"most": most})).one()
    return row.matched, [str(task_id) for task_id in row.ids]


def groups_of(wanted: DeadLetterFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``groups`` with its parameters."""
    where, parameters = _where(wanted)
    return text(_GROUPS.format(where=where)), parameters


def chosen_of(wanted: DeadLetterFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``chosen`` with its parameters."""
    where, parameters = _where(wanted)
    return text(_CHOSEN.format(where=where)), parameters


_CONDITIONS = {
    "task_type": "task_type = :task_type",
    "error_type": "error_type = :error_type",
    "queue": "queue = :queue",
    "failed_after": "finished_at >= :failed_after",
    "failed_before": "finished_at < :failed_before",
}


def _where(wanted: DeadLetterFilter) -> tuple[str, dict[str, Any]]:
    """SQL of our own making; values only as parameters."""
    parameters = wanted.given()
    conditions = ["state = 'failed'", NOT_REPLAYED, *(_CONDITIONS[name] for name in parameters)]
    if wanted.failed_before is not None:
        # Nothing fails before it was submitted: days after it are not opened.
        conditions.append("id < CAST(:highest AS uuid)")
        parameters["highest"] = lowest_id(wanted.failed_before + ID_SLACK)
    return " AND ".join(conditions), parameters

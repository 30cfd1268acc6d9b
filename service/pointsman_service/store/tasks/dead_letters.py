"""The dead letters: failed tasks that were not run again."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, text

from pointsman_contract.states import TaskState
from pointsman_service.store.buried import OF_ALL_TIME
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import setting_right
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

# Of the tasks themselves: until there is a row for every dead letter.
_GROUPS_OF_TASKS = """
    SELECT g.*, t.error_message AS example_message FROM (
        SELECT task_type, error_type, count(*) AS tasks, min(finished_at) AS first_failed_at,
            max(finished_at) AS last_failed_at, max(id::text)::uuid AS example_id,
            array_agg(DISTINCT queue ORDER BY queue) AS queues
        FROM task WHERE {where} GROUP BY task_type, error_type
        ORDER BY tasks DESC, task_type, error_type LIMIT :most
    ) AS g JOIN task t ON t.id = g.example_id
    ORDER BY g.tasks DESC, g.task_type, g.error_type
"""
# How many is known by the hour; the hours at the edges are counted row by row. First, last and newest are found by
# going down an index to the first that fits.
_GROUPS = """
    WITH part AS (
        SELECT task_type, error_type, queue, sum(tasks)::bigint AS tasks FROM (
            SELECT task_type, error_type, queue, tasks FROM dead_letter_count WHERE hour = '{ever}'{named}
            UNION ALL SELECT task_type, error_type, queue, tasks FROM dead_letter_delta WHERE true{named}
        ) AS every GROUP BY task_type, error_type, queue HAVING sum(tasks) > 0
    ), letters AS (
        SELECT p.task_type, p.error_type, sum({tasks})::bigint AS tasks,
            array_agg(p.queue ORDER BY p.queue) FILTER (WHERE {tasks} > 0) AS queues
        FROM part p{counted} GROUP BY p.task_type, p.error_type HAVING sum({tasks}) > 0
        ORDER BY sum({tasks}) DESC, p.task_type, p.error_type LIMIT :most
    )
    SELECT l.task_type, nullif(l.error_type, '') AS error_type, l.tasks, f.first_failed_at, f.last_failed_at,
        f.example_id, l.queues, t.error_message AS example_message
    FROM letters l CROSS JOIN LATERAL (
        SELECT min(one.first_failed_at) AS first_failed_at, max(one.last_failed_at) AS last_failed_at,
            max(one.example_id::text)::uuid AS example_id
        FROM unnest(l.queues) AS q (queue) CROSS JOIN LATERAL (
            SELECT (SELECT d.failed_at {row} ORDER BY d.failed_at LIMIT 1) AS first_failed_at,
                (SELECT d.failed_at {row} ORDER BY d.failed_at DESC LIMIT 1) AS last_failed_at,
                (SELECT d.task_id {row}{id} ORDER BY d.task_id DESC LIMIT 1) AS example_id
        ) AS one
    ) AS f JOIN task t ON t.id = f.example_id
    ORDER BY l.tasks DESC, l.task_type, l.error_type
"""
_KEY = "{0}.task_type = p.task_type AND {0}.error_type = p.error_type AND {0}.queue = p.queue"
_ROW = "FROM dead_letter d WHERE d.task_type = l.task_type AND d.error_type = l.error_type AND d.queue = q.queue"
_COUNTED = f"""
        CROSS JOIN LATERAL (SELECT coalesce((SELECT sum(c.tasks) FROM dead_letter_count c
                WHERE {_KEY.format("c")} AND c.hour > '{OF_ALL_TIME}'{{hours}}), 0)
            + coalesce((SELECT sum(c.tasks) FROM dead_letter_delta c WHERE {_KEY.format("c")}{{hours}}), 0)
            + (SELECT count(*) FROM dead_letter d WHERE {_KEY.format("d")} AND ({{edges}})) AS tasks) AS n"""
_HOUR = timedelta(hours=1)
_CHOSEN = """
    WITH found AS (SELECT id FROM task WHERE {where})
    SELECT (SELECT count(*) FROM found) AS matched, ARRAY(SELECT id FROM found ORDER BY id LIMIT :most) AS ids
"""


async def groups(connection: Connection, wanted: DeadLetterFilter, most: int) -> list[dict[str, Any]]:
    """The dead letters by task type and error type, the largest group first."""
    complete = await setting_right.is_complete(connection)
    statement, parameters = groups_of(wanted) if complete else groups_of_tasks(wanted)
    return [dict(row) for row in (await connection.execute(statement, parameters | {"most": most})).mappings()]


async def chosen(connection: Connection, wanted: DeadLetterFilter, most: int) -> tuple[int, list[str]]:
    """How many dead letters there are, and the ids of the oldest."""
    statement, parameters = chosen_of(wanted)
    row = (await connection.execute(statement, parameters | {"most": most})).one()
    return row.matched, [str(task_id) for task_id in row.ids]


def groups_of(wanted: DeadLetterFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``groups`` with its parameters."""
    parameters: dict[str, Any] = {}
    named, row, newest = "", _ROW, ""
    for name in ("task_type", "error_type", "queue"):
        if getattr(wanted, name) is not None:
            named += f" AND {name} = :{name}"
            parameters[name] = getattr(wanted, name)
    after, before = wanted.failed_after, wanted.failed_before
    if after is not None:
        row += " AND d.failed_at >= :failed_after"
        parameters["failed_after"] = after
    if before is not None:
        row += " AND d.failed_at < :failed_before"
        # Nothing fails before it was submitted: who looks for the newest begins there.
        newest = " AND d.task_id < CAST(:highest AS uuid)"
        parameters |= {"failed_before": before, "highest": lowest_id(before + ID_SLACK)}
    within, counted = _within(after, before)
    tasks = "p.tasks" if counted == "" else "n.tasks"
    found = _GROUPS.format(ever=OF_ALL_TIME, named=named, tasks=tasks, counted=counted, row=row, id=newest)
    return text(found), parameters | within


def _within(after: datetime | None, before: datetime | None) -> tuple[dict[str, Any], str]:
    """What counts the dead letters between two moments, by whole hours where there are any, and its parameters."""
    if after is None and before is None:
        return {}, ""
    first = None if after is None else _begin_of_hour(after + _HOUR - timedelta(microseconds=1))
    end = None if before is None else _begin_of_hour(before)
    bounds = ("d.failed_at >= :failed_after", "d.failed_at < :failed_before")
    if first is not None and end is not None and first >= end:
        # No whole hour lies between them.
        return {}, _COUNTED.format(hours=" AND false", edges=" AND ".join(bounds))
    parameters: dict[str, Any] = {}
    hours, edges = "", []
    if first is not None:
        parameters["first"] = first
        hours += " AND c.hour >= :first"
        edges.append(f"{bounds[0]} AND d.failed_at < :first")
    if end is not None:
        parameters["end"] = end
        hours += " AND c.hour < :end"
        edges.append(f"d.failed_at >= :end AND {bounds[1]}")
    return parameters, _COUNTED.format(hours=hours, edges=" OR ".join(edges))


def _begin_of_hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def groups_of_tasks(wanted: DeadLetterFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``groups``, and its parameters, while some dead letters have no row yet."""
    where, parameters = _where(wanted)
    return text(_GROUPS_OF_TASKS.format(where=where)), parameters


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

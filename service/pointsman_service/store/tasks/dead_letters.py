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
            max(finished_at) AS last_failed_at, (array_agg(id ORDER BY finished_at DESC, id DESC))[1] AS example_id,
            array_agg(DISTINCT queue ORDER BY queue) AS queues
        FROM task WHERE {where} GROUP BY task_type, error_type
        ORDER BY tasks DESC, task_type, error_type LIMIT :most
    ) AS g JOIN task t ON t.id = g.example_id
    ORDER BY g.tasks DESC, g.task_type, g.error_type
"""
# How many is known by the hour and by the day; what lies partly in an hour at an edge is counted row by row. The first
# and the last are found at the ends of an index.
_GROUPS = """
    WITH part AS (
        SELECT task_type, error_type, queue, sum(tasks)::bigint AS tasks FROM (
            SELECT task_type, error_type, queue, tasks FROM dead_letter_count WHERE hour = '{ever}'{named}
            UNION ALL SELECT task_type, error_type, queue, tasks FROM dead_letter_delta WHERE true{named}
        ) AS every GROUP BY task_type, error_type, queue HAVING sum(tasks) > 0
    ){within}, letters AS (
        SELECT n.task_type, n.error_type, sum(n.tasks)::bigint AS tasks,
            array_agg(n.queue ORDER BY n.queue) FILTER (WHERE n.tasks > 0) AS queues
        FROM {numbers} n GROUP BY n.task_type, n.error_type HAVING sum(n.tasks) > 0
        ORDER BY sum(n.tasks) DESC, n.task_type, n.error_type LIMIT :most
    )
    SELECT l.task_type, nullif(l.error_type, '') AS error_type, l.tasks, f.first_failed_at, f.last_failed_at,
        f.example_id, l.queues, t.error_message AS example_message
    FROM letters l CROSS JOIN LATERAL (
        SELECT min(first.failed_at) AS first_failed_at, max(last.failed_at) AS last_failed_at,
            (array_agg(last.task_id ORDER BY last.failed_at DESC, last.task_id DESC))[1] AS example_id
        FROM unnest(l.queues) AS q (queue)
            CROSS JOIN LATERAL (SELECT d.failed_at {row} ORDER BY d.failed_at LIMIT 1) AS first
            CROSS JOIN LATERAL (
                SELECT d.failed_at, d.task_id {row} ORDER BY d.failed_at DESC, d.task_id DESC LIMIT 1) AS last
    ) AS f JOIN task t ON t.id = f.example_id
    ORDER BY l.tasks DESC, l.task_type, l.error_type
"""
_KEY = "{0}.task_type = p.task_type AND {0}.error_type = p.error_type AND {0}.queue = p.queue"
_ROW = "FROM dead_letter d WHERE d.task_type = l.task_type AND d.error_type = l.error_type AND d.queue = q.queue"
_WITHIN = f""", recent AS (
        SELECT task_type, error_type, queue, sum(tasks) AS tasks FROM dead_letter_delta WHERE {{bounds}}{{named}}
        GROUP BY task_type, error_type, queue
    ), within AS MATERIALIZED (
        SELECT p.task_type, p.error_type, p.queue, {{parts}} + coalesce(r.tasks, 0) AS tasks
        FROM part p LEFT JOIN recent r ON {_KEY.format("r")}
    )"""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
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
    named, row = "", _ROW
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
        parameters["failed_before"] = before
    parts, bounds, moments = _within(after, before)
    within = _WITHIN.format(parts="\n            + ".join(parts), bounds=bounds, named=named) if parts else ""
    numbers = "within" if parts else "part"
    found = _GROUPS.format(ever=OF_ALL_TIME, named=named, within=within, numbers=numbers, row=row)
    return text(found), parameters | moments


def _within(after: datetime | None, before: datetime | None) -> tuple[list[str], str, dict[str, datetime]]:
    """What adds up to the dead letters of a kind between two moments: whole days, whole hours beside them, and rows at
    the ends; with the bounds of the deltas, and the parameters. Nothing where there is no moment.
    """
    first, last = after and _ceil(after, _HOUR), before and _floor(before, _HOUR)
    first_day, last_day = first and _ceil(first, _DAY), last and _floor(last, _DAY)
    if first is not None and last is not None and first >= last:
        return [_rows("failed_after", "failed_before")], "false", {}
    parts: list[str] = []
    if first is not None:
        parts.append(_rows("failed_after", "first"))
    if first_day is not None and last_day is not None and first_day >= last_day:
        first_day = last_day = None
        parts.append(_numbers("hour", "first", "last"))
    elif first is not None or last is not None:
        if first is not None:
            parts.append(_numbers("hour", "first", "first_day"))
        parts.append(_numbers("day", _named(first, "first_day"), _named(last, "last_day")))
        if last is not None:
            parts.append(_numbers("hour", "last_day", "last"))
    if last is not None:
        parts.append(_rows("last", "failed_before"))
    bounds = _between("hour", _named(first, "first"), _named(last, "last"))
    moments = {"first": first, "first_day": first_day, "last": last, "last_day": last_day}
    return parts, bounds, {name: moment for name, moment in moments.items() if moment is not None}


def _named(moment: datetime | None, name: str) -> str | None:
    return None if moment is None else name


def _rows(low: str, high: str) -> str:
    return f"(SELECT count(*) FROM dead_letter d WHERE {_KEY.format('d')} AND {_between('d.failed_at', low, high)})"


def _numbers(unit: str, low: str | None, high: str | None) -> str:
    table = {"hour": "dead_letter_count", "day": "dead_letter_day"}[unit]
    bounds = _between(f"c.{unit}", low, high)
    return f"coalesce((SELECT sum(c.tasks) FROM {table} c WHERE {_KEY.format('c')} AND {bounds}), 0)"


def _between(column: str, low: str | None, high: str | None) -> str:
    """From the moment of a parameter on, until before that of another."""
    bounds = [f"{column} >= :{low}"] if low else []
    return " AND ".join([*bounds, f"{column} < :{high}"] if high else bounds)


def _floor(at: datetime, unit: timedelta) -> datetime:
    at = at.astimezone(UTC)
    return at - (at - at.replace(hour=0, minute=0, second=0, microsecond=0)) % unit


def _ceil(at: datetime, unit: timedelta) -> datetime:
    found = _floor(at, unit)
    return found if found == at else found + unit


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

"""Tasks as readers see them.

``task_live`` and ``task`` are always read in one statement: it sees one moment, so a task that moves from one to the
other meanwhile is in exactly one of them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from pointsman_contract.states import TERMINAL, UNFINISHED, TaskState
from pointsman_service.store.breakers.breakers import LETS_THROUGH_AT
from pointsman_service.store.columns import FINISHED, KINDS, LIVE
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.store import Connection
from pointsman_service.store.upkeep.partitions import lowest_id

_ERROR = frozenset({"error_type", "error_message", "error_traceback", "error_group"})


def from_live(name: str) -> str:
    """SQL: a column of ``task`` of a row of ``task_live``."""
    if name in LIVE:
        return name
    if name in _ERROR:
        # A task that waits for its next attempt shows why the last one ended.
        return (
            f"CASE WHEN state <> 'running' AND attempt > 0 THEN (SELECT a.{name} FROM task_attempt a"
            f" WHERE a.task_id = task_live.id AND a.attempt = task_live.attempt) END AS {name}"
        )
    return f"CAST(NULL AS {KINDS[name]}) AS {name}"


_SCOPE = "split_part(held_reason, ':', 2)"
_RETRY_AT = f"""CASE WHEN place = 'held' AND held_reason LIKE '{BY_BREAKER}%' THEN (
    SELECT {LETS_THROUGH_AT} FROM breaker b
    WHERE b.scope = {_SCOPE} AND b.name = substr(held_reason, length({_SCOPE}) + {len(BY_BREAKER) + 2})
) END AS retry_at"""
_FROM_LIVE = ", ".join(
    [*map(from_live, FINISHED), "held_at", "held_wait_seconds", _RETRY_AT, "CAST(NULL AS uuid) AS replayed_as"]
)
_REPLAYED_AS = "(SELECT r.replayed_as FROM replayed_task r WHERE r.task_id = task.id AND NOT r.undone) AS replayed_as"
_FROM_FINISHED = ", ".join(
    [
        *FINISHED,
        "CAST(NULL AS timestamptz) AS held_at",
        "CAST(0 AS float8) AS held_wait_seconds",
        "CAST(NULL AS timestamptz) AS retry_at",
        _REPLAYED_AS,
    ]
)

# By their ids alone: what is asked of them besides an index may find, too, and a thousand others with it. OFFSET keeps
# the planner from that. The bounds keep other days unopened.
_OF_IDS = """(SELECT * FROM {table} WHERE id = ANY(CAST(:ids AS uuid[]))
        AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid) OFFSET 0) AS {table}"""
LISTED_BYTES = 4096
"""A longer payload is left out of a list: its length is the caller's choice, and a page has many."""
_PAYLOADS = ("args", "kwargs", "result", "progress")
_TEXTS = {"error_message": "left(error_message, 1000)", "error_traceback": "right(error_traceback, 2000)"}
_IS_LONG = {name: f"octet_length({name}) > {LISTED_BYTES}" for name in _PAYLOADS} | {
    name: f"octet_length({name}) > octet_length({shown})" for name, shown in _TEXTS.items()
}
_LISTED = ", ".join(
    [
        *(name for name in FINISHED if name not in _IS_LONG),
        *("held_at", "held_wait_seconds", "retry_at", "replayed_as", "read_at"),
        *(f"CASE WHEN {_IS_LONG[name]} THEN NULL ELSE {name} END AS {name}" for name in _PAYLOADS),
        *(f"{shown} AS {name}" for name, shown in _TEXTS.items()),
        # Never null, whatever is: a list of names.
        "array_remove(ARRAY["
        + ", ".join(f"CASE WHEN {long} THEN '{name.replace('_', '.')}' END" for name, long in _IS_LONG.items())
        + "], NULL) AS cut",
    ]
)

_WHOLE_BY_ID = f"""
    SELECT {_FROM_LIVE}, now() AS read_at FROM task_live WHERE id = CAST(:id AS uuid)
    UNION ALL
    SELECT {_FROM_FINISHED}, now() AS read_at FROM task WHERE id = CAST(:id AS uuid)
"""
_BY_ID = text(_WHOLE_BY_ID)
_KIND_BY_ID = text("""
    SELECT task_type, queue FROM task_live WHERE id = CAST(:id AS uuid)
    UNION ALL
    SELECT task_type, queue FROM task WHERE id = CAST(:id AS uuid)
""")
_KINDS = text("""
    SELECT id, task_type, queue FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL
    SELECT id, task_type, queue FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
""")
_LISTED_BY_ID = text(f"SELECT {_LISTED} FROM ({_WHOLE_BY_ID}) AS found")

_ATTEMPTS = text("""
    SELECT attempt, worker, started_at, finished_at, run_seconds, error_type, error_message, error_traceback,
        error_group
    FROM task_attempt WHERE task_id = CAST(:id AS uuid) AND attempt > CAST(:after AS int) ORDER BY attempt LIMIT :most
""")

# One by one: a list asks of each row that it looks at, and the planner would read all that was ever run again for them.
# OFFSET 0 keeps it from that.
_REPLAYED = "EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)"

# One by one likewise; a task that has not begun any attempt asks for nothing.
_GROUP_OF_LIVE = """(attempt > 0 AND CAST(:error_group AS uuid) = (SELECT a.error_group FROM task_attempt a
        WHERE a.task_id = task_live.id
            AND a.attempt = task_live.attempt - CASE WHEN task_live.state = 'running' THEN 1 ELSE 0 END))"""

ID_SLACK = timedelta(minutes=5)
"""Ids carry the clock of the process that made them, ``submitted_at`` the database's, a commit later."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a list is narrowed to; None and empty mean everything."""

    state: TaskState | None = None
    queue: str | None = None
    task_type: str | None = None
    caller: str | None = None
    fairness_key: str | None = None
    worker: str | None = None
    """Of its newest attempt: a node's name, which means all its lives, or one life's (``name#…``)."""
    held_reason: str | None = None
    """Held for this now: ``breaker:<scope>:<name>``, or a word of its own."""
    attempts: int | None = None
    """As many have started, no more and no fewer."""
    attempts_at_least: int | None = None
    error_type: str | None = None
    """Of the attempt that ended it; no unfinished task has one."""
    error_group: UUID | None = None
    """Of its last attempt that has ended, whether it has ended itself or not."""
    error_message: str | None = None
    """A part of it, as it stands there, but for upper and lower case; no unfinished task has one."""
    replayed: bool | None = None
    """Whether it was run again as another task; no unfinished one was."""
    tags: Sequence[Sequence[Mapping[str, str]]] = ()
    """Of each of these, one must match."""
    submitted_after: datetime | None = None
    """Submitted then or later."""
    submitted_before: datetime | None = None
    """Submitted earlier."""
    finished_after: datetime | None = None
    """Ended then or later."""
    finished_before: datetime | None = None
    """Ended earlier."""

    @property
    def only_ended(self) -> bool:
        """Whether no unfinished task can meet it."""
        of_the_end = (self.error_type, self.error_message, self.replayed or None, self.finished_after)
        if any(value is not None for value in (*of_the_end, self.finished_before)):
            return True
        return self.state in TERMINAL

    @property
    def only_unfinished(self) -> bool:
        """Whether no ended task can meet it."""
        return self.state in UNFINISHED or self.held_reason is not None


async def kind_of(connection: Connection, task_id: UUID) -> dict[str, str] | None:
    """The type and the queue of a task; None: it is not kept."""
    row = (await connection.execute(_KIND_BY_ID, {"id": task_id})).mappings().first()
    return None if row is None else dict(row)


async def kinds_of(connection: Connection, task_ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """The type and the queue of each of these tasks that is kept."""
    rows = await connection.execute(_KINDS, {"ids": list(task_ids)})
    return {row.id: (row.task_type, row.queue) for row in rows}


async def task(connection: Connection, task_id: UUID | str, *, listed: bool = False) -> dict[str, Any] | None:
    """The row of one task with every column of ``task``, ``replayed_as`` and ``read_at``, or None. ``listed``: as one
    of many, as ``tasks`` gives it.
    """
    statement = _LISTED_BY_ID if listed else _BY_ID
    row = (await connection.execute(statement, {"id": task_id})).mappings().one_or_none()
    return None if row is None else dict(row)


async def failed_attempts(connection: Connection, task_id: UUID | str, after: int, most: int) -> list[dict[str, Any]]:
    """The attempts that did not succeed, oldest first: at most ``most`` of those numbered above ``after``.

    Read after the task's row they hold every failed attempt that row knows of.
    """
    parameters = {"id": task_id, "after": after, "most": most}
    return [dict(row) for row in (await connection.execute(_ATTEMPTS, parameters)).mappings()]


async def rows_of(connection: Connection, wanted: TaskFilter, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Rows as of ``task``, in the order of their ids; those that are gone, or meet the filter no longer, are left out.

    Payloads of more than 4 KiB are NULL, error texts are shortened; ``cut`` names both.
    """
    if not ids or (wanted.only_ended and wanted.only_unfinished):
        return []
    statement, parameters = rows_statement(wanted)
    parameters |= {"ids": list(ids), "first": min(ids), "last": max(ids)}
    found = (await connection.execute(statement, parameters)).mappings()
    by_id = {row["id"]: dict(row) for row in found}
    return [by_id[one] for one in ids if one in by_id]


def rows_statement(wanted: TaskFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``rows_of`` with its parameters, but for the ids."""
    conditions, parameters = conditions_of(wanted)
    where = " AND ".join(conditions) or "true"
    sides = []
    if not wanted.only_ended:
        where_live = " AND ".join(conditions_of(wanted, live=True)[0]) or "true"
        of_ids = _OF_IDS.format(table="task_live")
        sides.append(f"SELECT {_FROM_LIVE}, now() AS read_at FROM {of_ids} WHERE {where_live}")
    if wanted.only_ended or not wanted.only_unfinished:
        sides.append(f"SELECT {_FROM_FINISHED}, now() AS read_at FROM {_OF_IDS.format(table='task')} WHERE {where}")
    page = "\n        UNION ALL\n        ".join(sides)
    return text(f"SELECT {_LISTED} FROM ({page}) AS found"), parameters


def conditions_of(wanted: TaskFilter, *, live: bool = False) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions of a row of either table, and their parameters; with an unfinished state, or ``live``, of a row of
    ``task_live``. Moments also become bounds of the id, so that other days are not opened.
    """
    conditions: list[str] = []
    parameters: dict[str, Any] = {}

    def require(condition: str, name: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            parameters[name] = value

    require("state = :state", "state", None if wanted.state is None else wanted.state.value)
    require("queue = :queue", "queue", wanted.queue)
    require("task_type = :task_type", "task_type", wanted.task_type)
    require("caller = :caller", "caller", wanted.caller)
    require("fairness_key = :fairness_key", "fairness_key", wanted.fairness_key)
    is_life = wanted.worker is not None and "#" in wanted.worker
    of_worker = "worker = :worker" if is_life else "split_part(worker, '#', 1) = :worker"
    require(of_worker, "worker", wanted.worker)
    require("state = 'held' AND held_reason = :held_reason", "held_reason", wanted.held_reason)
    require("attempt = :attempts", "attempts", wanted.attempts)
    require("attempt >= :attempts_at_least", "attempts_at_least", wanted.attempts_at_least)
    require("error_type = :error_type", "error_type", wanted.error_type)
    of_live = live or wanted.only_unfinished
    within_group = _GROUP_OF_LIVE if of_live else "error_group = CAST(:error_group AS uuid)"
    require(within_group, "error_group", wanted.error_group)
    # No pattern: what stands in it stands for itself.
    within = "strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0"
    require(within, "error_message", wanted.error_message)
    if wanted.replayed is not None:
        conditions.append(_REPLAYED if wanted.replayed else f"NOT {_REPLAYED}")
    for place, readings in enumerate(wanted.tags):
        # Each by itself, for that is what an index can look up.
        names = [f"tags_{place}_{number}" for number in range(len(readings))]
        conditions.append(f"({' OR '.join(f'tags @> CAST(CAST(:{name} AS text) AS jsonb)' for name in names)})")
        parameters |= {name: json.dumps(dict(reading)) for name, reading in zip(names, readings, strict=True)}
    if wanted.submitted_after is not None:
        require("submitted_at >= :submitted_after", "submitted_after", wanted.submitted_after)
        require("id >= CAST(:lowest AS uuid)", "lowest", lowest_id(wanted.submitted_after - ID_SLACK))
    # Nothing ends before it was submitted.
    latest = [moment for moment in (wanted.submitted_before, wanted.finished_before) if moment is not None]
    if latest:
        require("id < CAST(:highest AS uuid)", "highest", lowest_id(min(latest) + ID_SLACK))
    require("submitted_at < :submitted_before", "submitted_before", wanted.submitted_before)
    require("finished_at >= :finished_after", "finished_after", wanted.finished_after)
    require("finished_at < :finished_before", "finished_before", wanted.finished_before)
    return conditions, parameters

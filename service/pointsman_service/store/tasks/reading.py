"""Tasks as readers see them.

``task_live`` and ``task`` are always read in one statement: it sees one moment, so a task that moves from one to the
other meanwhile is in exactly one of them.
"""

import json
from collections.abc import Mapping, Sequence
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


def _from_live(name: str) -> str:
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
    [*map(_from_live, FINISHED), "held_at", "held_wait_seconds", _RETRY_AT, "CAST(NULL AS uuid) AS replayed_as"]
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
_LISTED_BY_ID = text(f"SELECT {_LISTED} FROM ({_WHOLE_BY_ID}) AS found")

_ATTEMPTS = text("""
    SELECT attempt, worker, started_at, finished_at, run_seconds, error_type, error_message, error_traceback,
        error_group
    FROM task_attempt WHERE task_id = CAST(:id AS uuid) AND attempt > CAST(:after AS int) ORDER BY attempt LIMIT :most
""")

_REPLAYED = "EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id AND NOT r.undone)"

ID_SLACK = timedelta(minutes=5)
"""Ids carry the clock of the process that made them, ``submitted_at`` the database's, a commit later."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a list is narrowed to; None and empty mean everything."""

    state: TaskState | None = None
    queue: str | None = None
    task_type: str | None = None
    error_type: str | None = None
    """Of the attempt that ended it; no unfinished task has one."""
    error_group: UUID | None = None
    """Of the attempt that ended it, likewise."""
    replayed: bool | None = None
    """Whether it was run again as another task; no unfinished one was."""
    tags: Sequence[Sequence[Mapping[str, str]]] = ()
    """Of each of these, one must match."""
    submitted_after: datetime | None = None
    """Submitted then or later."""
    submitted_before: datetime | None = None
    """Submitted earlier."""
    below: UUID | None = None
    """Only ids below this one: the last of the page before."""


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


async def tasks(connection: Connection, wanted: TaskFilter, most: int) -> list[dict[str, Any]]:
    """Rows as of ``task``, newest first by id, at most ``most``.

    Payloads of more than 4 KiB are NULL, error texts are shortened; ``cut`` names both.
    """
    statement, parameters = page_of(wanted)
    if statement is None:
        return []
    return [dict(row) for row in (await connection.execute(statement, parameters | {"most": most})).mappings()]


def page_of(wanted: TaskFilter) -> tuple[TextClause | None, dict[str, Any]]:
    """The statement of ``tasks`` with its parameters; None when nothing can be found."""
    conditions, parameters = conditions_of(wanted)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    end = "ORDER BY id DESC LIMIT :most"
    sides = []
    ended = wanted.error_type is not None or wanted.error_group is not None or wanted.replayed
    if (wanted.state is None or wanted.state in UNFINISHED) and not ended:
        sides.append(f"(SELECT {_FROM_LIVE} FROM task_live {where} {end})")
    if wanted.state is None or wanted.state in TERMINAL:
        sides.append(f"(SELECT {_FROM_FINISHED} FROM task {where} {end})")
    if not sides:
        return None, {}
    page = f"SELECT *, now() AS read_at FROM ({' UNION ALL '.join(sides)}) AS sides {end}"
    return text(f"SELECT {_LISTED} FROM ({page}) AS found ORDER BY id DESC"), parameters


def conditions_of(wanted: TaskFilter) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions of a row of either table, and their parameters. Moments also become bounds of the id, so that
    other days are not opened.
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
    require("error_type = :error_type", "error_type", wanted.error_type)
    require("error_group = CAST(:error_group AS uuid)", "error_group", wanted.error_group)
    if wanted.replayed is not None:
        conditions.append(_REPLAYED if wanted.replayed else f"NOT {_REPLAYED}")
    for place, readings in enumerate(wanted.tags):
        texts = [json.dumps(dict(reading)) for reading in readings]
        require(f"tags @> ANY(CAST(CAST(:tags_{place} AS text[]) AS jsonb[]))", f"tags_{place}", texts)
    require("id < CAST(:below AS uuid)", "below", wanted.below)
    if wanted.submitted_after is not None:
        require("submitted_at >= :submitted_after", "submitted_after", wanted.submitted_after)
        require("id >= CAST(:lowest AS uuid)", "lowest", lowest_id(wanted.submitted_after - ID_SLACK))
    if wanted.submitted_before is not None:
        require("submitted_at < :submitted_before", "submitted_before", wanted.submitted_before)
        require("id < CAST(:highest AS uuid)", "highest", lowest_id(wanted.submitted_before + ID_SLACK))
    return conditions, parameters

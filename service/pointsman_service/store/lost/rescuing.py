"""Attempts that ended with their worker: their rows wait again, or end when that happened too often."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from pointsman_contract.errors import ErrorType
from pointsman_contract.states import TaskState
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.listeners import Ended, Listeners
from pointsman_service.store.queues.holding import MOST_IN_A_ROW, QUARANTINE
from pointsman_service.store.reported import End, Moved, moved_of
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import recording
from pointsman_service.store.tasks.ending import Ending
from pointsman_service.store.tasks.queue_wait import SLA_OF_THE_FIRST

_MESSAGE = "its worker went away while it ran (killed, out of memory, or its machine was lost)"
_STOPPED_MESSAGE = "its worker was stopped while it ran"


@dataclass(frozen=True, slots=True)
class Running:
    """A row that says that an attempt runs."""

    id: str
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of interrupted attempts."""

    waiting: int
    """Sent again."""
    quarantined: int
    failed: int
    """Interrupted once more though nothing ran beside them."""


_OF_WORKERS = text("""
    SELECT id, attempt, worker FROM task_live
    WHERE place = 'sent' AND state = 'running' AND worker = ANY(CAST(:workers AS text[])) LIMIT :most
""")

# Whoever stops a worker says nothing of its tasks: no quarantine comes of it, however often.
_OF_A_STOPPED = "t.worker = ANY(CAST(:stopped AS text[]))"

_LOCK = text(
    f"SELECT t.id, t.attempt, t.interrupted_in_a_row >= :most_in_a_row AND NOT {_OF_A_STOPPED} AS last"
    " FROM task_live t JOIN "
    + array_columns({"id": "uuid", "attempt": "smallint"}, "e")
    + """ USING (id)
    WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
    ORDER BY t.id FOR UPDATE OF t
"""
)

_TOO_OFTEN = f"t.interrupted_in_a_row = :most_in_a_row - 1 AND NOT {_OF_A_STOPPED}"

# ``due_at`` stays: a task that lost its worker goes before those that became due later.
_INTERRUPT = text(f"""
    WITH interrupted AS (UPDATE task_live t SET interruptions = t.interruptions + 1, progress = NULL,
        interrupted_in_a_row = t.interrupted_in_a_row + CASE WHEN {_OF_A_STOPPED} THEN 0 ELSE 1 END,
        state = CASE WHEN {_TOO_OFTEN} THEN 'held' ELSE 'queued' END,
        place = CASE WHEN {_TOO_OFTEN} THEN 'held' ELSE 'waiting' END,
        held_reason = CASE WHEN {_TOO_OFTEN} THEN :quarantine END,
        held_at = CASE WHEN {_TOO_OFTEN} THEN now() END,
        {SLA_OF_THE_FIRST}
    WHERE t.id = ANY(CAST(:id AS uuid[]))
    RETURNING t.id, t.task_type, t.queue, t.attempt, t.worker, t.started_at, now() AS at, t.state, t.caller
    ), {told("interrupted")}
    SELECT * FROM interrupted
""")

# Not among the interruptions in a row: that somebody stopped its node says nothing against a task.
_STOP = text(
    f"""
    UPDATE task_live t SET state = 'queued', place = 'waiting', progress = NULL, interruptions = t.interruptions + 1,
        {SLA_OF_THE_FIRST}
    FROM """
    + array_columns({"id": "uuid", "attempt": "smallint"}, "e")
    + """
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
    RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
        CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller
"""
)


async def running_of(connection: Connection, workers: Sequence[str], most: int) -> list[Running]:
    """Up to ``most`` attempts that these workers are said to run."""
    rows = await connection.execute(_OF_WORKERS, {"workers": list(workers), "most": most})
    return [Running(str(row.id), row.attempt, row.worker) for row in rows]


async def stop(connection: Connection, ends: Sequence[End]) -> list[Moved]:
    """Let tasks whose running attempt ended because its worker was stopped wait again; those that moved. One end a
    task.
    """
    if not ends:
        return []
    columns = {"id": [end.id for end in ends], "attempt": [end.attempt for end in ends]}
    return moved_of(await connection.execute(_STOP, columns))


async def interrupt(
    connection: Connection, listeners: Listeners, attempts: Sequence[Running], stopped: Collection[str] = frozenset()
) -> Rescued:
    """End these attempts as interrupted, where the row still says that they run. Counts and tells of them; in a
    transaction.

    ``stopped`` are workers that were told to stop before they went: that speaks against no task.
    """
    columns = {"id": [one.id for one in attempts], "attempt": [one.attempt for one in attempts]}
    limit = {"most_in_a_row": MOST_IN_A_ROW, "stopped": sorted(stopped)}
    locked = (await connection.execute(_LOCK, columns | limit)).all()
    if not locked:
        return Rescued(0, 0, 0)
    last = {str(row.id) for row in locked if row.last}
    parameters = limit | {"id": [row.id for row in locked], "quarantine": QUARANTINE}
    interrupted = [
        Ended(
            Moved(str(row.id), row.task_type, row.queue, False, row.attempt, None, None, row.state, row.caller),
            _end(row, stopped=row.worker in stopped, is_last=str(row.id) in last),
        )
        for row in await connection.execute(_INTERRUPT, parameters)
    ]
    async with Ending(connection, listeners) as ending:
        ending.ends.interrupted += interrupted
        await recording.keep_attempts(connection, [one.end for one in interrupted])
        failed = await ending.end([one.end for one in interrupted if one.end.id in last])
    quarantined = sum(one.moved.state == TaskState.HELD for one in interrupted)
    return Rescued(len(interrupted) - quarantined - len(failed), quarantined, len(failed))


def _end(row: Any, *, stopped: bool, is_last: bool) -> End:
    message = _STOPPED_MESSAGE if stopped else _MESSAGE
    return End(
        id=str(row.id),
        attempt=row.attempt,
        state=str(TaskState.FAILED),
        finished_at=row.at,
        started_at=row.started_at,
        worker=row.worker,
        run_seconds=max(0.0, (row.at - row.started_at).total_seconds()),
        result=None,
        error_type=ErrorType.INTERRUPTED,
        error_message=message,
        error_traceback="",
        # An interruption is no failure, until it is the last.
        error_group=group_of(row.task_type, ErrorType.INTERRUPTED, message, "") if is_last else None,
    )

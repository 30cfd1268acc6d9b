"""Attempts that ended with their worker: their rows wait again, or end when that happened too often."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from contract.states import INTERRUPTED, TaskState
from service.store import metrics, recording
from service.store.arrays import array_columns
from service.store.holding import MOST_IN_A_ROW, QUARANTINE
from service.store.metrics import Tallies
from service.store.reported import End
from service.store.store import Connection

_MESSAGE = "its worker went away while it ran (killed, out of memory, or its machine was lost)"


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

_LOCK = text(
    "SELECT t.id, t.attempt, t.interrupted_in_a_row >= :most_in_a_row AS last FROM task_live t JOIN "
    + array_columns({"id": "uuid", "attempt": "smallint"}, "e")
    + """ USING (id)
    WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
    ORDER BY t.id FOR UPDATE OF t
"""
)

# ``due_at`` stays: a task that lost its worker goes before those that became due later.
_INTERRUPT = text("""
    UPDATE task_live t SET
        interruptions = t.interruptions + 1, interrupted_in_a_row = t.interrupted_in_a_row + 1, progress = NULL,
        state = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1 THEN 'held' ELSE 'queued' END,
        place = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1 THEN 'held' ELSE 'waiting' END,
        held_reason = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1 THEN :quarantine END,
        held_at = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1 THEN now() END,
        sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
            THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)
    WHERE t.id = ANY(CAST(:id AS uuid[]))
    RETURNING t.id, t.task_type, t.queue, t.attempt, t.worker, t.started_at, now() AS at, t.state
""")


async def running_of(connection: Connection, workers: Sequence[str], most: int) -> list[Running]:
    """Up to ``most`` attempts that these workers are said to run."""
    rows = await connection.execute(_OF_WORKERS, {"workers": list(workers), "most": most})
    return [Running(str(row.id), row.attempt, row.worker) for row in rows]


async def interrupt(connection: Connection, attempts: Sequence[Running]) -> Rescued:
    """End these attempts as interrupted, where the row still says that they run. Counts them; in a transaction."""
    columns = {"id": [one.id for one in attempts], "attempt": [one.attempt for one in attempts]}
    limit = {"most_in_a_row": MOST_IN_A_ROW}
    locked = (await connection.execute(_LOCK, columns | limit)).all()
    if not locked:
        return Rescued(0, 0, 0)
    last = {row.id for row in locked if row.last}
    parameters = limit | {"id": [row.id for row in locked], "quarantine": QUARANTINE}
    moved = (await connection.execute(_INTERRUPT, parameters)).all()
    tallies = Tallies()
    ends = [_end(str(row.id), row.attempt, row.worker, row.started_at, row.at) for row in moved]
    await recording.keep_attempts(connection, ends)
    for row in moved:
        tallies.of(row.task_type, row.queue, row.at).counts["interrupted"] += 1
    failed = await recording.finish(connection, [end for end, row in zip(ends, moved, strict=True) if row.id in last])
    for task in failed:
        tallies.of(task.task_type, task.queue, moved[0].at).counts[task.state] += 1
    await metrics.add(connection, tallies)
    quarantined = sum(row.state == TaskState.HELD for row in moved)
    return Rescued(len(moved) - quarantined - len(failed), quarantined, len(failed))


def _end(task_id: str, attempt: int, worker: str, started_at: datetime, at: datetime) -> End:
    return End(
        id=task_id,
        attempt=attempt,
        state=str(TaskState.FAILED),
        finished_at=at,
        started_at=started_at,
        worker=worker,
        run_seconds=max(0.0, (at - started_at).total_seconds()),
        result=None,
        error_type=INTERRUPTED,
        error_message=_MESSAGE,
        error_traceback="",
    )

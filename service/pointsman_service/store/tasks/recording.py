"""What the recorder writes: one transaction moves the rows, the counters and the position together, or nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text

from pointsman_contract.states import TaskState
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import LISTENED
from pointsman_service.store.queues.holding import BY_BREAKER, HELD
from pointsman_service.store.reported import End, Moved, NativeEnd, Progressed, Refused, Start, columns_of, moved_of
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.ending import FOLLOWED
from pointsman_service.store.tasks.moves import may_become
from pointsman_service.store.tasks.queue_wait import SLA_OF_THE_FIRST, queue_wait

_PASS = text(f"""
    UPDATE recorder_position SET last_id = :new, moved_at = now() WHERE stream = :stream AND last_id = :old
    RETURNING {LISTENED} AS listened
""")

# ``t.id = ANY(...)`` beside the join keeps the plan on the primary key whatever the planner believes of the table's
# size: measured in docs/decisions/0001-store-layout.md.
_BEGIN = text(
    "UPDATE task_live t SET state = 'running', place = 'sent', held_reason = NULL, held_at = NULL, attempt = e.attempt,"
    " started_at = e.at, worker = e.worker, unclaimed = 0,"
    # A purge, and a cancel by a filter, take what has not started.
    " cancel_requested_at = CASE WHEN t.cancel_grace_seconds IS NOT NULL THEN t.cancel_requested_at END,"
    " cancel_requested_by = CASE WHEN t.cancel_grace_seconds IS NOT NULL THEN t.cancel_requested_by END FROM "
    + array_columns({"id": "uuid", "attempt": "smallint", "at": "timestamptz", "worker": "text"}, "e")
    + f"""
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
        AND t.attempt < e.attempt AND {may_become(TaskState.RUNNING)}
    RETURNING t.id, t.task_type, t.queue, true AS first_seen, t.attempt,
        {queue_wait("e.at")} AS queue_wait_seconds,
        {queue_wait("e.at")} <= t.sla_seconds AS sla_met, t.state, t.caller
"""
)

# Only of the attempt that the row knows to run: a failure that is reported again finds the task retrying already.
_RETRY_COLUMNS = {"id": "uuid", "attempt": "smallint", "retry_at": "timestamptz", "max_attempts": "integer"}
_RETRY = text(
    """
    WITH retried AS (UPDATE task_live t SET state = 'retrying', place = 'asleep', due_at = e.retry_at, progress = NULL,
        interrupted_in_a_row = 0, held_wait_seconds = 0, """
    + SLA_OF_THE_FIRST
    + "\n    FROM "
    + array_columns(_RETRY_COLUMNS, "e")
    + f"""
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
        AND t.state = 'running' AND t.attempt = e.attempt AND {FOLLOWED} AND t.cancel_requested_at IS NULL
    RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
        CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller
    ), waits AS (
        INSERT INTO backlog_delta (queue, state, tasks)
        SELECT queue, state, count(*) FROM retried GROUP BY queue, state
    )
    SELECT * FROM retried
"""
)

# Of an attempt that has ended meanwhile nobody wants to know how far it was.
_PROGRESS = text(
    "UPDATE task_live t SET progress = e.progress FROM "
    + array_columns({"id": "uuid", "attempt": "smallint", "progress": "text"}, "e")
    + """
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
"""
)

_ATTEMPTS_COLUMNS = {
    "task_id": "uuid",
    "attempt": "smallint",
    "worker": "text",
    "started_at": "timestamptz",
    "finished_at": "timestamptz",
    "run_seconds": "float8",
    "error_type": "text",
    "error_message": "text",
    "error_traceback": "text",
    "error_group": "uuid",
}
# One that was kept already was reported again.
_ATTEMPTS = text(
    f"INSERT INTO task_attempt ({', '.join(_ATTEMPTS_COLUMNS)}) SELECT * FROM "
    + array_columns(_ATTEMPTS_COLUMNS)
    + " ON CONFLICT DO NOTHING"
)

_WHERE_UNSTARTED = """
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
        AND t.place = 'sent' AND t.state = 'queued' AND t.dispatch = e.dispatch
"""
# Only the sending that was dropped: a later one may have been claimed.
_ASK = text(
    "UPDATE task_live t SET place = 'waiting' FROM "
    + array_columns({"id": "uuid", "dispatch": "integer"}, "e")
    + _WHERE_UNSTARTED
)

_HOLD = text(
    f"UPDATE task_live t SET {HELD}, held_reason = e.reason FROM "
    + array_columns({"id": "uuid", "dispatch": "integer", "reason": "text"}, "e")
    + _WHERE_UNSTARTED
)

# What it turned out to depend on holds it next time before an attempt begins.
_BLOCK_COLUMNS = {"id": "uuid", "attempt": "smallint", "breaker": "text"}
_BLOCK = text(
    f"""
    UPDATE task_live t SET {HELD}, held_reason = '{BY_BREAKER}' || e.breaker, progress = NULL,
        interruptions = t.interruptions + 1,
        dependencies = CASE WHEN e.breaker LIKE 'dependency:%' AND cardinality(coalesce(t.dependencies, '{{}}')) < 100
            THEN array_append(array_remove(t.dependencies, substr(e.breaker, 12)), substr(e.breaker, 12))
            ELSE t.dependencies END,
        {SLA_OF_THE_FIRST}
    FROM """
    + array_columns(_BLOCK_COLUMNS, "e")
    + """
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
    RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
        CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller
"""
)

_NATIVE_COLUMNS = {
    "task_id": "text",
    "task_type": "text",
    "queue": "text",
    "worker": "text",
    "state": "text",
    "run_seconds": "float8",
    "finished_at": "timestamptz",
    "error_type": "text",
    "error_message": "text",
    "error_traceback": "text",
}
_NATIVE = text(f"INSERT INTO native_run ({', '.join(_NATIVE_COLUMNS)}) SELECT * FROM " + array_columns(_NATIVE_COLUMNS))


class Passed(NamedTuple):
    """What ``move_position`` did."""

    is_ours: bool
    """False: another recorder has been here, write nothing."""
    listened: bool
    """Whether anybody listens to changes."""


async def move_position(connection: Connection, stream: str, old: str, new: str) -> Passed:
    """Compare-and-set of the recorder's position."""
    row = (await connection.execute(_PASS, {"stream": stream, "old": old, "new": new})).one_or_none()
    return Passed(row is not None, row is not None and row.listened)


async def begin(connection: Connection, starts: Sequence[Start]) -> list[Moved]:
    """Make the rows of these attempts running, unless a newer attempt is known. One start a task."""
    if not starts:
        return []
    ids = [start.id for start in starts]
    parameters: dict[str, object] = {
        "id": ids,
        "attempt": [start.attempt for start in starts],
        "at": [start.at for start in starts],
        "worker": [start.worker for start in starts],
    }
    return moved_of(await connection.execute(_BEGIN, parameters))


async def retry(connection: Connection, ends: Sequence[End]) -> list[Moved]:
    """Let tasks whose running attempt failed and that have attempts left wait for their next one. One end a task."""
    if not ends:
        return []
    columns = columns_of(ends)
    return moved_of(await connection.execute(_RETRY, {name: columns[name] for name in _RETRY_COLUMNS}))


async def show_progress(connection: Connection, progressed: Sequence[Progressed]) -> None:
    """Write down how far running attempts are. One report a task."""
    if progressed:
        await connection.execute(_PROGRESS, columns_of(progressed))


async def keep_attempts(connection: Connection, ends: Sequence[End]) -> None:
    """Remember failed attempts."""
    if ends:
        columns = columns_of(ends)
        columns["task_id"] = columns["id"]
        await connection.execute(_ATTEMPTS, {name: columns[name] for name in _ATTEMPTS_COLUMNS})


async def take_back(connection: Connection, messages: Sequence[tuple[str, int]]) -> None:
    """Let the tasks of messages (id, dispatch) that were dropped unstarted wait again, unless they were sent again
    since.
    """
    if messages:
        await connection.execute(_ASK, {"id": [m[0] for m in messages], "dispatch": [m[1] for m in messages]})


async def hold(connection: Connection, messages: Sequence[Refused]) -> None:
    """Hold the tasks of messages that were dropped unstarted, unless they were sent again since."""
    if messages:
        await connection.execute(_HOLD, columns_of(messages))


async def block(connection: Connection, ends: Sequence[End]) -> list[Moved]:
    """Hold tasks whose running attempt met an open circuit breaker; those that moved. One end a task."""
    if not ends:
        return []
    columns = columns_of(ends)
    return moved_of(await connection.execute(_BLOCK, {name: columns[name] for name in _BLOCK_COLUMNS}))


async def keep_native(connection: Connection, ends: Sequence[NativeEnd]) -> None:
    """Remember plain Celery executions."""
    if ends:
        await connection.execute(_NATIVE, columns_of(ends))

"""Sendings of tasks that no worker claimed: the task is sent again, but not for ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text

from pointsman_contract.errors import ErrorType
from pointsman_contract.retry import RetryPolicy
from pointsman_contract.states import TaskState
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.listeners import Ended, Listeners
from pointsman_service.store.queues.holding import held_until
from pointsman_service.store.reported import End, Moved
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks import recording
from pointsman_service.store.tasks.ending import Ending

UNCLAIMED = "unclaimed"
"""``held_reason`` of a task that was sent in vain too often, until an attempt of it has failed for that."""
_NOBODY_SAID = "its message was fetched, and no worker said what became of it"
_HARDLY = 0.001


class Unclaimed(NamedTuple):
    """A message that was fetched, and did not become an attempt."""

    id: str
    dispatch: int
    weight: float
    """How much it counts: 1, or less where something else than the task explains it."""
    reason: str | None = None
    """What a worker said of it."""


_COLUMNS = {"id": "uuid", "dispatch": "integer", "weight": "real", "reason": "text"}
_TOO_OFTEN = "t.unclaimed + l.weight >= :most"
# Of the sending that was told of: a newer one may be about to run.
_TAKE_BACK = text(
    "WITH lost AS (SELECT e.* FROM task_live t JOIN "
    + array_columns(_COLUMNS, "e")
    + f""" USING (id)
        WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'sent' AND t.state = 'queued' AND t.dispatch = e.dispatch
        ORDER BY t.id FOR UPDATE OF t
    ), taken_back AS (UPDATE task_live t SET
        unclaimed = t.unclaimed + l.weight,
        unclaimed_reason = coalesce(l.reason, t.unclaimed_reason),
        state = CASE WHEN {_TOO_OFTEN} THEN 'held' ELSE 'queued' END,
        place = CASE WHEN {_TOO_OFTEN} THEN 'held' ELSE 'waiting' END,
        held_reason = CASE WHEN {_TOO_OFTEN} THEN '{UNCLAIMED}' END,
        held_at = CASE WHEN {_TOO_OFTEN} THEN now() END
    FROM lost l WHERE t.id = l.id AND t.id = ANY(CAST(:id AS uuid[]))
    RETURNING t.id, t.dispatch
    ), {told("taken_back")}
    SELECT id, dispatch FROM taken_back
"""
)

_SPENT = text(f"""
    SELECT id, attempt FROM task_live
    WHERE place = 'held' AND held_reason = '{UNCLAIMED}' AND cancel_requested_at IS NULL LIMIT :most
""")

# The first attempt did not start in time, whenever another does.
_FAIL = text(
    "WITH spent AS (SELECT t.id, t.sla_met, t.unclaimed_reason FROM task_live t JOIN "
    + array_columns({"id": "uuid", "attempt": "smallint"}, "e")
    + f""" USING (id)
        WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'held' AND t.held_reason = '{UNCLAIMED}'
            AND t.attempt = e.attempt AND t.cancel_requested_at IS NULL
        ORDER BY t.id FOR UPDATE OF t
    ), failed AS (UPDATE task_live t SET
        state = 'retrying', place = 'asleep', due_at = now(), attempt = t.attempt + 1, progress = NULL,
        held_reason = NULL, held_at = NULL, held_seconds = t.held_seconds + {held_until("now()")},
        held_wait_seconds = 0, unclaimed = 0, unclaimed_reason = NULL,
        sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 0 THEN false END)
    FROM spent s WHERE t.id = s.id AND t.id = ANY(CAST(:id AS uuid[]))
    RETURNING t.id, t.task_type, t.queue, t.attempt, t.sent_at, now() AS at,
        t.attempt - t.interruptions AS tries, t.attempt - t.interruptions < t.max_attempts AS is_followed, t.state,
        t.caller,
        s.sla_met IS NULL AND t.sla_met IS NOT NULL AS has_missed, s.unclaimed_reason AS reason
    ), {told("failed")}
    SELECT * FROM failed
"""
)
_RETRY = text(
    "UPDATE task_live t SET due_at = e.at FROM "
    + array_columns({"id": "uuid", "at": "timestamptz"}, "e")
    + " WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))"
)


@dataclass(frozen=True, slots=True)
class Spent:
    """A task that is held because it was sent in vain too often."""

    id: str
    attempt: int


async def take_back(connection: Connection, messages: Sequence[Unclaimed], most: int) -> list[tuple[str, int]]:
    """Let the tasks of unclaimed messages wait to be sent again, or hold those that were sent in vain ``most`` times in
    a row; unless they started or were sent since. Returns the (task, sending) given up.
    """
    if not messages:
        return []
    columns: dict[str, object] = dict(zip(_COLUMNS, map(list, zip(*messages, strict=True)), strict=True))
    rows = await connection.execute(_TAKE_BACK, columns | {"most": most - _HARDLY})
    return [(str(row.id), row.dispatch) for row in rows]


async def spent(connection: Connection, most: int) -> list[Spent]:
    """Up to ``most`` of the tasks that are held because nobody claimed them, and are not cancelled."""
    return [Spent(str(row.id), row.attempt) for row in await connection.execute(_SPENT, {"most": most})]


async def fail(
    connection: Connection, listeners: Listeners, tasks: Sequence[Spent], policy: RetryPolicy
) -> tuple[int, int]:
    """Fail an attempt of each of these tasks; another follows by the ``policy`` where the budget allows. Counts and
    tells of them; in a transaction. Returns how many go on, and how many are failed for good.
    """
    columns = {"id": [task.id for task in tasks], "attempt": [task.attempt for task in tasks]}
    rows = (await connection.execute(_FAIL, columns)).all()
    if not rows:
        return 0, 0
    await recording.keep_attempts(connection, [_end(row, row.sent_at) for row in rows])
    followed = [row for row in rows if row.is_followed]
    if followed:
        at = [row.at + timedelta(seconds=policy.delay(max(1, row.tries))) for row in followed]
        await connection.execute(_RETRY, {"id": [row.id for row in followed], "at": at})
    ends = {str(row.id): _end(row) for row in rows}
    async with Ending(connection, listeners) as ending:
        for row in rows:
            if row.has_missed:
                ending.tallies.of(row.task_type, row.queue, row.at, row.caller).counts["sla_missed"] += 1
        ending.ends.retried += [
            Ended(
                Moved(str(row.id), row.task_type, row.queue, False, row.attempt, None, None, row.state, row.caller),
                ends[str(row.id)],
            )
            for row in followed
        ]
        last = await ending.end([ends[str(row.id)] for row in rows if not row.is_followed])
    return len(followed), len(last)


def _end(row: Any, sent_at: datetime | None = None) -> End:
    """The end of a sending that nobody claimed: with ``sent_at`` of an attempt that is kept, without of the task."""
    message = f"it was sent again and again, and no worker began it: {row.reason or _NOBODY_SAID}"
    return End(
        id=str(row.id),
        attempt=row.attempt,
        state=str(TaskState.FAILED),
        finished_at=row.at,
        started_at=sent_at,
        worker=None if sent_at is None else "",
        run_seconds=None if sent_at is None else 0.0,
        result=None,
        error_type=ErrorType.NOT_CLAIMED,
        error_message=message,
        error_traceback="",
        executed=True,
        error_group=group_of(row.task_type, ErrorType.NOT_CLAIMED, message, ""),
    )

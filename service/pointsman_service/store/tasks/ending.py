"""The end-door: every task ends here, whoever ends it, with its counters and with whoever is to be told of it.

Outcomes, cancels, purges, expiries, a breaker's fail-fast, the last interruption of a task in quarantine, messages that
nobody claimed: each comes as an ``End``. A second end of a task finds no row.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import text

from pointsman_contract.states import TaskState
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import told
from pointsman_service.store.columns import FINISHED, KINDS, LIVE
from pointsman_service.store.errors.burying import bury
from pointsman_service.store.errors.noting import note
from pointsman_service.store.listeners import Ended, Ends, Listeners
from pointsman_service.store.metrics import counters
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.queues.holding import held_until, held_while_due_until
from pointsman_service.store.reported import End, columns_of, moved_of
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.counting import count_ends
from pointsman_service.store.tasks.moves import may_become
from pointsman_service.store.tasks.queue_wait import queue_wait

FOLLOWED = "e.retry_at IS NOT NULL AND e.attempt - t.interruptions < coalesce(e.max_attempts, t.max_attempts)"
"""SQL: whether another attempt may follow the failure ``e`` of a row ``t``."""
_CANCELLED = "(t.cancel_requested_at IS NOT NULL AND t.cancel_grace_seconds IS NOT NULL)"
"""Whether a failure ends the task as cancelled, whatever its budget."""


def _error(name: str) -> str:
    """SQL: of a task that ends between two attempts the error of its last one."""
    return (
        f"CASE WHEN e.error_type IS NULL AND e.state IN ('cancelled', 'expired') AND t.attempt > 0 THEN"
        f" (SELECT a.{name} FROM task_attempt a WHERE a.task_id = t.id AND a.attempt = t.attempt) ELSE e.{name} END"
    )


# Of columns that both have, or that the end does not say alone; every other one of the finished task is the row's.
_OF_THE_END = {
    "state": f"CASE WHEN e.state = 'failed' AND {_CANCELLED} THEN 'cancelled' ELSE e.state END",
    "attempt": "greatest(t.attempt, e.attempt)",
    "started_at": "coalesce(e.started_at, t.started_at)",
    "worker": "coalesce(e.worker, t.worker)",
    "queue_wait_seconds": queue_wait("e.started_at"),
    # One that never started missed its target only if that had passed.
    "sla_met": "coalesce(t.sla_met, CASE WHEN e.started_at IS NOT NULL THEN "
    + queue_wait("e.started_at")
    + " <= t.sla_seconds WHEN extract(epoch FROM e.finished_at - t.due_at) - t.held_wait_seconds - "
    + held_while_due_until("e.finished_at")
    + " > t.sla_seconds THEN false END)",
    "held_seconds": "t.held_seconds + " + held_until("e.finished_at"),
    "progress": "coalesce(e.progress, t.progress)",
    **{name: _error(name) for name in ("error_type", "error_message", "error_traceback")},
    # What failed because it was to be cancelled is nobody's error.
    "error_group": f"CASE WHEN e.state = 'failed' AND {_CANCELLED} THEN NULL ELSE {_error('error_group')} END",
}
_COLUMNS = {name: KINDS[name] for name in End._fields if name in KINDS} | {"retry_at": "timestamptz"}


def _of_the_end(name: str) -> str:
    """SQL: what a column of the finished task is; nothing of an end but what is named above is in the row too."""
    if name in _OF_THE_END:
        return f"{_OF_THE_END[name]} AS {name}"
    return f"t.{name}" if name in LIVE else f"e.{name}"


# The DELETE is the fence, and asks for the legal moves. A success ends the task unless a newer attempt runs; a failure
# only while no newer attempt began and none may follow, unless its cancel was requested; an expiry or a cancel only
# while nothing runs.
_END = text(
    "WITH gone AS (DELETE FROM task_live t USING "
    + array_columns(_COLUMNS, "e")
    + f"""
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND CASE e.state
        WHEN 'succeeded' THEN {may_become(TaskState.SUCCEEDED)} AND (t.attempt <= e.attempt OR t.state <> 'running')
        WHEN 'failed' THEN {may_become(TaskState.FAILED)} AND t.attempt <= e.attempt
            AND ({_CANCELLED} OR NOT ({FOLLOWED}))
        WHEN 'cancelled' THEN {may_become(TaskState.CANCELLED)} AND t.state <> 'running'
        WHEN 'expired' THEN {may_become(TaskState.EXPIRED)} AND t.state <> 'running' END
    RETURNING """
    + ",\n        ".join(map(_of_the_end, FINISHED))
    + f""", t.attempt < e.attempt AS first_seen,
        CASE WHEN t.place <> 'sent' THEN t.state END AS waited_as,
        CASE WHEN t.place = 'held' THEN t.held_reason END AS waited_for
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, waited_as, coalesce(waited_for, ''), -count(*) FROM gone WHERE waited_as IS NOT NULL GROUP BY 1, 2, 3
), kept AS (INSERT INTO task ({", ".join(FINISHED)}) SELECT {", ".join(FINISHED)} FROM gone)
, {told("gone")}
SELECT id, task_type, queue, first_seen, attempt, queue_wait_seconds, sla_met, state, caller, held_seconds FROM gone"""
)

# A worker may have begun it since it was looked for; the lock keeps that from happening before its end.
_STILL_THERE = text("""
    SELECT id, attempt, task_type FROM task_live
    WHERE (id = ANY(CAST(:never_sent AS uuid[])) AND place <> 'sent' AND dispatch = 0)
        OR (id = ANY(CAST(:closed AS uuid[])) AND state <> 'running')
    ORDER BY id FOR UPDATE
""")


class Ending:
    """The ends of one transaction: ``async with Ending(connection, listeners) as ending``, inside it.

    At the end of the block everything that ended is counted, in one insert, its failures by their causes in another;
    what failed for good is a dead letter, and the listeners are told of it all, once each and in their order. A block
    that raises counts and tells nothing.
    """

    def __init__(self, connection: Connection, listeners: Listeners) -> None:
        self.connection = connection
        self._listeners = listeners
        self.ends = Ends()
        """What has ended so far. Whoever ends an attempt, and not the task, adds it here."""
        self.tallies = Tallies()
        """What else is to be counted in this transaction."""
        self.known_groups: Collection[str] = ()
        """Error groups that are stored; any other is begun when something fails so."""

    async def end(self, ends: Sequence[End]) -> list[Ended]:
        """End these tasks; those that moved. One end a task; whose rows are locked, or alone in the transaction."""
        if not ends:
            return []
        by_id = {end.id: end for end in ends}
        ended = [
            Ended(moved, by_id[moved.id]) for moved in moved_of(await self.connection.execute(_END, columns_of(ends)))
        ]
        self.ends.tasks += ended
        return ended

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        count_ends(self.tallies, self.ends)
        await counters.add(self.connection, self.tallies)
        if self.ends:
            await note(self.connection, self.ends, self.known_groups)
            await bury(self.connection, self.ends)
            for listener in self._listeners:
                await listener.ended(self.connection, self.ends)


async def end_unstarted(
    connection: Connection,
    listeners: Listeners,
    never_sent: Sequence[str],
    closed: Sequence[str],
    state: TaskState,
    now: datetime,
    error: tuple[str, str] | None = None,
) -> int:
    """End tasks that do not run: those ``never_sent`` if that still holds, and those whose claim was
    ``closed``; with the type and message of an ``error`` when there is one. Counts and tells of them; in a transaction.
    Returns how many ended.
    """
    rows = await connection.execute(_STILL_THERE, {"never_sent": list(never_sent), "closed": list(closed)})
    kind, message = error or (None, None)
    trace = None if error is None else ""
    ends = [
        End(
            id=str(row.id),
            attempt=row.attempt,
            state=str(state),
            finished_at=now,
            started_at=None,
            worker=None,
            run_seconds=None,
            result=None,
            error_type=kind,
            error_message=message,
            error_traceback=trace,
            error_group=group_of(row.task_type, kind, message, trace) if state is TaskState.FAILED else None,
        )
        for row in rows
    ]
    async with Ending(connection, listeners) as ending:
        return len(await ending.end(ends))

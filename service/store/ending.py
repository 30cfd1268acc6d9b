"""Terminal moves from outside a worker: expiry and cancel."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from contract.states import TaskState
from service.store import metrics, recording
from service.store.metrics import Tallies
from service.store.reported import End
from service.store.store import Connection

_STILL_THERE = text("""
    SELECT id, attempt FROM task_live WHERE (id = ANY(CAST(:never_sent AS uuid[])) AND place <> 'sent' AND dispatch = 0)
        OR (id = ANY(CAST(:closed AS uuid[])) AND state <> 'running')
    ORDER BY id FOR UPDATE
""")


async def end_unstarted(
    connection: Connection,
    never_sent: Sequence[str],
    closed: Sequence[str],
    state: TaskState,
    now: datetime,
    error: tuple[str, str] | None = None,
) -> int:
    """End tasks that do not run: those ``never_sent`` if that still holds, and those whose claim was
    ``closed``; with the type and message of an ``error`` when there is one. Counts them; in a transaction. Returns how
    many ended.
    """
    rows = await connection.execute(_STILL_THERE, {"never_sent": list(never_sent), "closed": list(closed)})
    kind, message = error or (None, None)
    trace = None if error is None else ""
    ends = [
        End(str(row.id), row.attempt, str(state), now, None, None, None, None, kind, message, trace) for row in rows
    ]
    moved = await recording.finish(connection, ends)
    tallies = Tallies()
    for task in moved:
        tally = tallies.of(task.task_type, task.queue, now)
        tally.counts[str(state)] += 1
        if task.attempt == 0 and task.sla_met is False:
            tally.counts["sla_missed"] += 1
    await metrics.add(connection, tallies)
    return len(moved)

"""Ended tasks run again, each as a new task, and each at most once: ``replayed_task`` is the fence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.buried import LETTER, counted, letters_of
from pointsman_service.store.columns import KINDS, SUBMITTED
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.birth import births_of

REPLAYABLE = TERMINAL - {TaskState.SUCCEEDED}
"""A task that ended so can be run again."""

# Of what is not copied as it was submitted: times and budget begin anew, and it is sent by the dispatcher.
_OWN = {
    "id": "p.replayed_as",
    "caller": "coalesce(CAST(:caller AS text), t.caller)",
    "alone": "false",
    "traceparent": ":traceparent",
    "scheduled_at": "CASE WHEN p.due_at > now() THEN p.due_at END",
    "expires_at": "CASE WHEN CAST(:as_it_was AS boolean) THEN t.expires_at END",
}
# What may be given anew; its dependencies follow from its arguments.
_ANEW = {"args": "text", "kwargs": "text", "queue": "text", "priority": "smallint", "sla_seconds": "real"}
_DEPENDENCIES = """CASE WHEN CAST(:args AS text) IS NULL AND CAST(:kwargs AS text) IS NULL THEN t.dependencies
        ELSE string_to_array(CAST(:dependencies AS text), E'\\n') END AS dependencies"""


def _column(name: str) -> str:
    if name == "dependencies":
        return _DEPENDENCIES
    if name in _ANEW:
        return f"coalesce(CAST(:{name} AS {_ANEW[name]}), t.{name}) AS {name}"
    if SUBMITTED[name].copied:
        return f"t.{name}"
    return f"CAST({_OWN.get(name, 'NULL')} AS {KINDS[name]}) AS {name}"


_SUBMITTED = ", ".join(map(_column, SUBMITTED))

# ``replayed_task`` decides: of two who ask for the same task at once, one inserts it, and the other passes over it. The
# due times of a rate are given out by the order of submission, and go on where the part before ended.
_REPLAY = text(
    "WITH asked AS (SELECT * FROM "
    + array_columns({"old": "uuid", "new": "uuid"})
    + f"""), claimed AS (
    INSERT INTO replayed_task (task_id, replayed_as, replay_id)
    SELECT asked.old, asked.new, CAST(:replay AS uuid) FROM asked JOIN task t ON t.id = asked.old
    WHERE t.state = ANY(CAST(:states AS text[])) AND t.queue = ANY(CAST(:queues AS text[]))
        AND (NOT CAST(:as_it_was AS boolean) OR t.attempt = 0)
    ORDER BY asked.old
    ON CONFLICT DO NOTHING
    RETURNING task_id, replayed_as
), unburied AS (
    DELETE FROM dead_letter d USING claimed c WHERE d.task_id = c.task_id
    RETURNING d.task_id, d.task_type, d.error_type, d.queue, d.failed_at
), lessened AS (
    {counted("unburied", taken=True)}
), placed AS (
    SELECT c.task_id, c.replayed_as, CASE WHEN CAST(:as_it_was AS boolean) THEN t.due_at
        ELSE coalesce(CAST(:since AS timestamptz), now()) + coalesce((CAST(:first AS bigint) - 1
            + row_number() OVER (ORDER BY c.replayed_as)) / CAST(:rate AS float8), 0) * interval '1 second'
        END AS due_at
    FROM claimed c JOIN task t ON t.id = c.task_id
), again AS (
    SELECT {_SUBMITTED}, t.id AS replayed_from FROM placed p JOIN task t ON t.id = p.task_id
)"""
    + births_of("again", "replayed_from")
    + "\nSELECT count(*) AS tasks, max(greatest(due_at, now())) AS last_due_at FROM placed"
)

_TIES = text("""
    SELECT task_id, replayed_as, replay_id, replayed_at, undone FROM replayed_task
    WHERE task_id = ANY(CAST(:ids AS uuid[]))
""")
_REPLAYED_AS = text("SELECT replayed_as, undone FROM replayed_task WHERE task_id = CAST(:id AS uuid)")

_KEEP = text("""
    INSERT INTO replay (id, caller, wanted, rate_per_second, matched, tasks, last_due_at)
    VALUES (:id, :caller, CAST(:wanted AS jsonb), :rate, :matched, :tasks, :last_due_at)
""")
_KEPT = (
    "SELECT id, requested_at, wanted, rate_per_second, matched, tasks, last_due_at FROM replay WHERE kind = 'replay'"
)
_FIND = text(f"{_KEPT} AND id = CAST(:id AS uuid)")
_NEWEST = text(f"{_KEPT} AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)) ORDER BY id DESC LIMIT :most")

# One by one, as in ``acts``.
_STATES = text("""
    SELECT every.state, count(*) AS tasks FROM replayed_task r CROSS JOIN LATERAL (
        (SELECT t.state FROM task_live t WHERE t.id = r.replayed_as AND NOT r.undone OFFSET 0)
        UNION ALL
        (SELECT t.state FROM task t WHERE t.id = CASE WHEN r.undone THEN r.task_id ELSE r.replayed_as END OFFSET 0)
    ) AS every WHERE r.replay_id = CAST(:id AS uuid) GROUP BY every.state
""")

_NEW_TASKS = text("""
    SELECT replayed_as FROM replayed_task
    WHERE replay_id = CAST(:id AS uuid) AND NOT undone AND replayed_as > CAST(:above AS uuid)
    ORDER BY replayed_as LIMIT :most
""")

# One that has started goes on: a replay that is undone takes back what nobody has begun.
_WITHDRAW = text("""
    WITH withdrawn AS (
        SELECT t.id FROM task_live t JOIN replayed_task r ON r.replayed_as = t.id
        WHERE r.replay_id = CAST(CAST(:id AS text) AS uuid) AND r.replayed_as = ANY(CAST(:ids AS uuid[]))
            AND NOT r.undone AND t.attempt = 0 AND t.state <> 'running' AND t.cancel_requested_at IS NULL
        ORDER BY t.id FOR UPDATE OF t
    )
    UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = NULL,
        cancel_requested_by = 'the undo of ' || CAST(:id AS text) FROM withdrawn w WHERE t.id = w.id
""")
# Of the two only one may run again: whoever was retried first keeps that.
_REINSTATE = text(f"""
    WITH undone AS (
        INSERT INTO replayed_task (task_id, replayed_as, replay_id, undone)
        SELECT r.replayed_as, r.task_id, r.replay_id, true FROM replayed_task r JOIN task t ON t.id = r.replayed_as
        WHERE r.replay_id = CAST(:id AS uuid) AND r.replayed_as = ANY(CAST(:ids AS uuid[])) AND NOT r.undone
            AND t.state = 'cancelled' AND t.attempt = 0
        ORDER BY r.replayed_as
        ON CONFLICT DO NOTHING
        RETURNING task_id, replayed_as
    ), buried AS (
        INSERT INTO dead_letter ({LETTER}) SELECT {letters_of("t")} FROM undone u JOIN task t ON t.id = u.replayed_as
        WHERE t.state = 'failed' ORDER BY t.id ON CONFLICT DO NOTHING RETURNING {LETTER}
    ), counted AS (
        {counted("buried")}
    )
    DELETE FROM replayed_task r USING undone u WHERE r.task_id = u.replayed_as AND r.replayed_as = u.task_id
""")


@dataclass(frozen=True, slots=True)
class Anew:
    """What a task does not take over from the one that it runs again; None: it does."""

    args: str | None = None
    """JSON array."""
    kwargs: str | None = None
    """JSON object."""
    dependencies: str | None = None
    """With new arguments: what it depends on, a line each."""
    queue: str | None = None
    sla_seconds: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one statement ran again."""

    tasks: int
    last_due_at: datetime | None


async def replay(
    connection: Connection,
    pairs: Sequence[tuple[str, str]],
    *,
    states: frozenset[TaskState],
    queues: Sequence[str],
    replay_id: str | None,
    rate_per_second: float | None,
    caller: str | None,
    traceparent: str | None,
    since: datetime | None = None,
    first: int = 0,
    as_it_was: bool = False,
    anew: Anew | None = None,
) -> Replayed:
    """Run ended tasks again: (id, id of the new task). Left out are those that ended in no other of ``states``, whose
    queue is none of ``queues``, or that were run again before. With a rate they are due one after the other, as from
    ``since`` on after ``first`` others. ``as_it_was``: none that has started, and each with its own due time and
    ``expires_at``.
    """
    row = (
        await connection.execute(
            _REPLAY,
            {
                "old": [old for old, _ in pairs],
                "new": [new for _, new in pairs],
                "states": [str(state) for state in states],
                "queues": list(queues),
                "replay": replay_id,
                "rate": rate_per_second,
                "caller": caller,
                "traceparent": traceparent,
                "since": since,
                "first": first,
                "as_it_was": as_it_was,
            }
            | asdict(anew or Anew()),
        )
    ).one()
    return Replayed(row.tasks, row.last_due_at)


@dataclass(frozen=True, slots=True)
class Successor:
    """Which task runs again in place of an ended one."""

    task_id: str
    undone: bool
    """The ended one was a replay that was taken back: this is what it had been made from."""


async def replayed_as(connection: Connection, task_id: str) -> Successor | None:
    """The task that stands for an ended one, or None."""
    row = (await connection.execute(_REPLAYED_AS, {"id": task_id})).one_or_none()
    return None if row is None else Successor(str(row.replayed_as), row.undone)


@dataclass(frozen=True, slots=True)
class Tie:
    """One ended task, and what runs again in its place."""

    task_id: UUID
    replayed_as: UUID
    replay_id: UUID | None
    """The act on many tasks that it belongs to."""
    replayed_at: datetime
    undone: bool
    """``task_id`` was taken back before it started, and ``replayed_as`` is what it had been made from."""


async def ties(connection: Connection, ids: Sequence[UUID]) -> list[Tie]:
    """What these tasks were run again as, where they were."""
    return [Tie(*row) for row in await connection.execute(_TIES, {"ids": list(ids)})]


async def keep(
    connection: Connection, replay_id: str, caller: str, wanted: Mapping[str, Any], rate: float | None, matched: int,
    replayed: Replayed,
) -> None:  # fmt: skip
    """Remember a request to run dead letters again."""
    parameters = {
        "id": replay_id,
        "caller": caller,
        "wanted": to_json(wanted).decode(),
        "rate": rate,
        "matched": matched,
        "tasks": replayed.tasks,
        "last_due_at": replayed.last_due_at,
    }
    await connection.execute(_KEEP, parameters)


async def find(connection: Connection, replay_id: str) -> dict[str, Any] | None:
    """A request to run dead letters again, or None."""
    row = (await connection.execute(_FIND, {"id": replay_id})).mappings().one_or_none()
    return None if row is None else dict(row)


async def newest(connection: Connection, below: UUID | None, most: int) -> list[dict[str, Any]]:
    """The newest requests, or those older than the one of this id."""
    return [dict(row) for row in (await connection.execute(_NEWEST, {"below": below, "most": most})).mappings()]


async def states(connection: Connection, replay_id: str) -> dict[str, int]:
    """How many of the tasks that a request made are in which state, those that were taken back too."""
    return {row.state: row.tasks for row in await connection.execute(_STATES, {"id": replay_id})}


async def new_tasks(connection: Connection, replay_id: str, above: UUID, most: int) -> list[str]:
    """The tasks that a request made and that were not taken back, by rising id above that one."""
    found = await connection.execute(_NEW_TASKS, {"id": replay_id, "above": above, "most": most})
    return [str(task_id) for task_id in found.scalars()]


async def withdraw(connection: Connection, replay_id: str, ids: Sequence[str]) -> int:
    """Ask for an end of those of these tasks that a request made and that have not started. Returns how many."""
    return (await connection.execute(_WITHDRAW, {"id": replay_id, "ids": list(ids)})).rowcount


async def reinstate(connection: Connection, replay_id: str, ids: Sequence[str]) -> int:
    """Make dead letters again of the tasks whose replay, one of these, was cancelled unstarted. They stand for it,
    unless it was run again meanwhile. Returns how many.
    """
    return (await connection.execute(_REINSTATE, {"id": replay_id, "ids": list(ids)})).rowcount

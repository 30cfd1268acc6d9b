"""Acts on many tasks that are walked through: what is asked, how far it is, and the part that is next.

The row of an act is locked while a part of it is done, and says how far it is in the same transaction: whoever walks,
and however often one dies, each part is done once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import TextClause, text

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.store.changes import told
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.reading import ID_SLACK, TaskFilter, conditions_of
from pointsman_service.store.upkeep.partitions import lowest_id

WAITS = (TaskState.QUEUED, TaskState.SCHEDULED, TaskState.HELD, TaskState.RETRYING)
"""A task that is not finished and does not run."""


_MOMENTS = ("submitted_after", "finished_after", "finished_before")


class TaskActKind(StrEnum):
    """What is done to the tasks."""

    REPLAY = "replay"
    """Dead letters run again; all of it is done with the request."""
    CANCEL = "cancel"
    RETRY = "retry"


class Stage(StrEnum):
    """Where an act stands."""

    WALKING = "walking"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class ActFilter:
    """Which tasks; None means all. What its fields mean is that of ``TaskFilter``."""

    state: TaskState | None = None
    queue: str | None = None
    task_type: str | None = None
    caller: str | None = None
    worker: str | None = None
    held_reason: str | None = None
    attempts: int | None = None
    attempts_at_least: int | None = None
    error_type: str | None = None
    error_group: UUID | None = None
    error_message: str | None = None
    tags: dict[str, str] | None = None
    submitted_after: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None

    def given(self) -> dict[str, Any]:
        """What is not None, as JSON has it."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        found |= {name: found[name].isoformat() for name in _MOMENTS if name in found}
        return found if self.error_group is None else found | {"error_group": str(self.error_group)}

    @classmethod
    def kept(cls, given: dict[str, Any]) -> "ActFilter":
        """As it was stored."""
        state, group = given.get("state"), given.get("error_group")
        moments = {name: datetime.fromisoformat(given[name]) for name in _MOMENTS if name in given}
        others = {
            "error_group": None if group is None else UUID(group),
            "state": None if state is None else TaskState(state),
        }
        return cls(**given | moments | others)


@dataclass(frozen=True, slots=True)
class TaskAct:
    """An act on many tasks, as its row is."""

    id: UUID
    kind: TaskActKind
    stage: Stage
    requested_at: datetime
    caller: str
    reason: str | None
    wanted: dict[str, Any]
    rate_per_second: float | None
    submitted_before: datetime | None
    most: int | None
    at_most: int | None
    grace_seconds: float | None
    walked_to: UUID | None
    looked_at: int
    matched: int
    tasks: int
    last_due_at: datetime | None
    unended: int
    put_back: int

    def states(self) -> list[TaskState]:
        """Those of the tasks that it is about."""
        return states_of(self.kind, ActFilter.kept(self.wanted).state, running=self.grace_seconds is not None)


def states_of(kind: TaskActKind, state: TaskState | None, *, running: bool) -> list[TaskState]:
    """The states of the tasks that an act is about; ``running``: what runs is to end, too."""
    if state is not None:
        return [state]
    if kind is TaskActKind.CANCEL:
        return [*WAITS, TaskState.RUNNING] if running else [*WAITS]
    return [TaskState.FAILED]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an act stood when somebody stopped it or began to undo it."""

    stage: Stage
    tasks: int
    """Those that it had done so far."""


@dataclass(frozen=True, slots=True)
class Part:
    """The tasks that a walk looks at next."""

    ids: list[str]
    """Those that the filter finds."""
    looked_at: int
    last: UUID | None
    """The last that was looked at, and found where ``ids`` ended before; None: there are no more."""


_COLUMNS = ", ".join(TaskAct.__dataclass_fields__)
_BEGIN = text("""
    INSERT INTO replay (id, kind, stage, caller, reason, wanted, rate_per_second, submitted_before, most, at_most,
        grace_seconds, walked_to, matched, tasks)
    VALUES (:id, :kind, 'walking', :caller, :reason, CAST(:wanted AS jsonb), :rate, :before, :most, :at_most, :grace,
        :above, 0, 0)
""")
_FIND = text(f"SELECT {_COLUMNS} FROM replay WHERE id = CAST(:id AS uuid)")
_NEWEST = text(f"""
    SELECT {_COLUMNS} FROM replay
    WHERE kind <> 'replay' AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)) ORDER BY id DESC LIMIT :most
""")
_OPEN = text("SELECT id FROM replay WHERE stage IN ('walking', 'undoing') ORDER BY id LIMIT :most")
# Another who walks it is at it already.
_TAKE = text(f"""
    SELECT {_COLUMNS}, extract(epoch FROM clock_timestamp() - requested_at)::float8 AS age_seconds FROM replay
    WHERE id = CAST(:id AS uuid) AND stage IN ('walking', 'undoing') FOR UPDATE SKIP LOCKED
""")
_WALKED = text("""
    UPDATE replay SET walked_to = coalesce(CAST(:last AS uuid), walked_to), stage = CAST(:stage AS text),
        looked_at = looked_at + :looked_at, matched = matched + :matched, tasks = tasks + :tasks,
        last_due_at = greatest(last_due_at, CAST(:last_due_at AS timestamptz))
    WHERE id = CAST(:id AS uuid)
""")
_UNWALKED = text("""
    UPDATE replay SET walked_to = CAST(:last AS uuid), stage = CAST(:stage AS text), unended = :unended,
        put_back = put_back + :put_back
    WHERE id = CAST(:id AS uuid)
""")
_STOP = text("""
    UPDATE replay SET stage = 'done' WHERE id = CAST(:id AS uuid) AND stage = 'walking' RETURNING 'walking', tasks
""")
# A walk that is undone goes no further.
_UNDO = text("""
    WITH before AS (
        SELECT id, stage FROM replay WHERE id = CAST(:id AS uuid) AND stage IN ('walking', 'done') FOR UPDATE
    )
    UPDATE replay r SET stage = 'undoing', walked_to = CAST(:above AS uuid), unended = 0
    FROM before b WHERE r.id = b.id RETURNING b.stage, r.tasks
""")

# Of each row that is looked at, by itself: OFFSET 0 keeps the planner from reading all that was ever run again.
_NOT_REPLAYED = "NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id OFFSET 0)"
_LOOKED_AT = "SELECT id, ({hit}) AS hit FROM {table} WHERE {which} AND {bounds} ORDER BY id LIMIT :looked_at"
_BOUNDS = "id > CAST(:above AS uuid) AND id < CAST(:highest AS uuid)"
_PART = """
    WITH looked AS ({looked}), found AS (SELECT id FROM looked WHERE hit ORDER BY id LIMIT :most)
    SELECT (SELECT count(*) FROM looked) AS looked_at, (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last,
        (SELECT count(*) FROM looked WHERE id <= (SELECT id FROM found ORDER BY id DESC LIMIT 1)) AS looked_at_to_found,
        ARRAY(SELECT id FROM found ORDER BY id) AS ids
"""

# What starts first is left alone, unless what runs is to end, too (``recording.begin``).
_CANCEL = text(f"""
    WITH part AS (
        SELECT id FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND state = ANY(CAST(:states AS text[]))
            AND (CAST(:queue AS text) IS NULL OR queue = :queue) AND cancel_requested_at IS NULL
        ORDER BY id FOR UPDATE
    ), marked AS (
        UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = CAST(:grace AS real),
            cancel_requested_by = CAST(:by AS text)
        FROM part p WHERE t.id = p.id RETURNING t.id
    ), {told("marked")}, kept AS (
        INSERT INTO cancelled_task (act_id, task_id) SELECT CAST(:act AS uuid), id FROM marked ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM marked
""")
_CANCELLED = text("""
    SELECT task_id FROM cancelled_task WHERE act_id = CAST(:id AS uuid) AND task_id > CAST(:above AS uuid)
    ORDER BY task_id LIMIT :most
""")
_UNENDED = text("""
    SELECT count(*) FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND cancel_requested_at IS NOT NULL
        AND attempt = 0 AND state <> 'running'
""")
_PENDING = text("""
    SELECT count(*) FROM (
        SELECT FROM task_live t JOIN cancelled_task c ON c.act_id = CAST(:id AS uuid) AND c.task_id = t.id
        WHERE t.cancel_requested_at IS NOT NULL LIMIT :most
    ) AS left_over
""")
# One by one: joined, all tasks that there are would be read for those of one act. OFFSET keeps the planner from it.
_STATES_OF_CANCELLED = text("""
    SELECT every.state, count(*) AS tasks FROM cancelled_task c CROSS JOIN LATERAL (
        (SELECT t.state FROM task_live t WHERE t.id = c.task_id OFFSET 0)
        UNION ALL (SELECT t.state FROM task t WHERE t.id = c.task_id OFFSET 0)
    ) AS every WHERE c.act_id = CAST(:id AS uuid) GROUP BY every.state
""")


def part_of(kind: TaskActKind, wanted: ActFilter, states: Sequence[TaskState]) -> tuple[TextClause, dict[str, Any]]:
    """The statement of ``part`` with its parameters, but for the bounds of the part."""
    readings = [[{name: value}] for name, value in (wanted.tags or {}).items()]
    conditions, parameters = conditions_of(
        TaskFilter(
            queue=wanted.queue,
            task_type=wanted.task_type,
            caller=wanted.caller,
            worker=wanted.worker,
            held_reason=wanted.held_reason,
            attempts=wanted.attempts,
            attempts_at_least=wanted.attempts_at_least,
            error_type=wanted.error_type,
            error_group=wanted.error_group,
            error_message=wanted.error_message,
            tags=readings,
            submitted_after=wanted.submitted_after,
            finished_after=wanted.finished_after,
            finished_before=wanted.finished_before,
        ),
        live=kind is TaskActKind.CANCEL,
    )
    conditions.append("submitted_at < :submitted_before")
    if kind is TaskActKind.CANCEL:
        conditions += ["state = ANY(CAST(:states AS text[]))", "cancel_requested_at IS NULL"]
        parameters["states"] = [str(state) for state in states]
        looked = _LOOKED_AT.format(hit=" AND ".join(conditions), table="task_live", which="true", bounds=_BOUNDS)
        return text(_PART.format(looked=looked)), parameters
    hit = " AND ".join([*conditions, _NOT_REPLAYED])
    sides = []
    # One index has them by state and then by id: each state is read in its order.
    for state in sorted(states):
        assert state in TERMINAL
        side = _LOOKED_AT.format(hit=hit, table="task", which=f"state = '{state}'", bounds=_BOUNDS)
        sides.append(f"({side})")
    looked = f"SELECT * FROM ({' UNION ALL '.join(sides)}) AS sides ORDER BY id LIMIT :looked_at"
    return text(_PART.format(looked=looked)), parameters


async def part(connection: Connection, act: TaskAct, looked_at: int, most: int) -> Part:
    """The next tasks of a walk: it looks at ``looked_at`` at most, and finds ``most`` of them at most."""
    assert act.submitted_before is not None
    statement, parameters = part_of(act.kind, ActFilter.kept(act.wanted), act.states())
    bounds = {
        "above": act.walked_to or UUID(int=0),
        "highest": lowest_id(act.submitted_before + ID_SLACK),
        "submitted_before": act.submitted_before,
        "looked_at": looked_at,
        "most": most,
    }
    row = (await connection.execute(statement, parameters | bounds)).one()
    ids = [str(task_id) for task_id in row.ids]
    if ids and len(ids) == most:
        # The next one begins behind the last that it has found, and looks at the others again.
        return Part(ids, row.looked_at_to_found, UUID(ids[-1]))
    return Part(ids, row.looked_at, row.last)


def further(act: TaskAct, part: Part) -> TaskAct:
    """An act that has looked at a part."""
    return replace(act, walked_to=part.last)


def before_the_first(wanted: ActFilter) -> UUID:
    """An id below those of all tasks that a filter can find."""
    if wanted.submitted_after is None:
        return UUID(int=0)
    return UUID(int=max(0, lowest_id(wanted.submitted_after - ID_SLACK).int - 1))


async def begin(connection: Connection, act: TaskAct) -> None:
    """Store an act of which nothing is done yet."""
    parameters = {
        "id": act.id,
        "kind": str(act.kind),
        "caller": act.caller,
        "reason": act.reason,
        "wanted": to_json(act.wanted).decode(),
        "rate": act.rate_per_second,
        "before": act.submitted_before,
        "most": act.most,
        "at_most": act.at_most,
        "grace": act.grace_seconds,
        "above": act.walked_to,
    }
    await connection.execute(_BEGIN, parameters)


async def take(connection: Connection, act_id: UUID) -> tuple[TaskAct, float] | None:
    """An act that is not over, locked until the transaction ends, with its age in seconds; None when it is over, or
    another one is at it.
    """
    row = (await connection.execute(_TAKE, {"id": act_id})).mappings().one_or_none()
    return None if row is None else (_act(row), row["age_seconds"])


async def open_acts(connection: Connection, most: int) -> list[UUID]:
    """Acts that are not over, the oldest first."""
    return list((await connection.execute(_OPEN, {"most": most})).scalars())


async def find(connection: Connection, act_id: UUID) -> TaskAct | None:
    """The act of this id, or None."""
    row = (await connection.execute(_FIND, {"id": act_id})).mappings().one_or_none()
    return None if row is None else _act(row)


async def newest(connection: Connection, below: UUID | None, most: int) -> list[TaskAct]:
    """The newest acts by a filter, or those older than the one of this id."""
    return [_act(row) for row in (await connection.execute(_NEWEST, {"below": below, "most": most})).mappings()]


async def walked(
    connection: Connection, act: TaskAct, part: Part, stage: Stage, tasks: int, last_due_at: datetime | None
) -> None:
    """A part of an act was done."""
    parameters = {
        "id": act.id,
        "last": part.last,
        "stage": str(stage),
        "looked_at": part.looked_at,
        "matched": len(part.ids),
        "tasks": tasks,
        "last_due_at": last_due_at,
    }
    await connection.execute(_WALKED, parameters)


async def stop(connection: Connection, act_id: UUID) -> Standing | None:
    """Let an act go no further. None: it did not go any more."""
    row = (await connection.execute(_STOP, {"id": act_id})).one_or_none()
    return None if row is None else Standing(Stage(row[0]), row[1])


async def undo(connection: Connection, act_id: UUID) -> Standing | None:
    """Let an act be undone from its first task on. None: it is already."""
    row = (await connection.execute(_UNDO, {"id": act_id, "above": UUID(int=0)})).one_or_none()
    return None if row is None else Standing(Stage(row[0]), row[1])


async def unwalked(connection: Connection, act: TaskAct, last: UUID, stage: Stage, unended: int, put_back: int) -> None:
    """A part of an undo was done; ``unended`` of this round is left for another one."""
    parameters = {"id": act.id, "last": last, "stage": str(stage), "unended": unended, "put_back": put_back}
    await connection.execute(_UNWALKED, parameters)


async def cancel(connection: Connection, act: TaskAct, ids: Sequence[str]) -> int:
    """Ask for an end of these tasks where they are in the states and the queue of the filter still; how many are."""
    parameters = {
        "act": act.id,
        "ids": list(ids),
        "states": [str(state) for state in act.states()],
        "queue": act.wanted.get("queue"),
        "grace": act.grace_seconds,
        "by": act.caller,
    }
    found: int = (await connection.execute(_CANCEL, parameters)).scalar_one()
    return found


async def cancelled(connection: Connection, act_id: str, above: UUID, most: int) -> list[str]:
    """Tasks that an act asked an end of, by rising id above that one."""
    found = await connection.execute(_CANCELLED, {"id": act_id, "above": above, "most": most})
    return [str(task_id) for task_id in found.scalars()]


async def unended(connection: Connection, ids: Sequence[str]) -> int:
    """How many of these have not started, are to be cancelled, and have not ended yet."""
    found: int = (await connection.execute(_UNENDED, {"ids": list(ids)})).scalar_one()
    return found


async def pending(connection: Connection, act_id: UUID, most: int) -> int:
    """How many tasks of a cancel have not ended yet; ``most`` stands for all above it."""
    found: int = (await connection.execute(_PENDING, {"id": act_id, "most": most})).scalar_one()
    return found


async def states_of_cancelled(connection: Connection, act_id: str) -> dict[str, int]:
    """How many tasks that an act asked an end of are in which state."""
    return {row.state: row.tasks for row in await connection.execute(_STATES_OF_CANCELLED, {"id": act_id})}


def _act(row: Any) -> TaskAct:
    named = {name: row[name] for name in TaskAct.__dataclass_fields__}
    return TaskAct(**named | {"kind": TaskActKind(row["kind"]), "stage": Stage(row["stage"])})

"""Every statement that moves a task, tried on a row of every state: none makes a move that is not legal."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
import uuid_utils
from sqlalchemy import text

from pointsman_contract.retry import RetryPolicy
from pointsman_contract.states import LEGAL_MOVES, PLACES, TERMINAL, UNFINISHED, Place, TaskState
from pointsman_service.store.lost import rescuing, unclaimed
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.lost.unclaimed import Spent, Unclaimed
from pointsman_service.store.queues import dispatching, holding, quarantine, unserved
from pointsman_service.store.queues.holding import MOST_IN_A_ROW
from pointsman_service.store.reported import End, Refused, Start
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks import changing, recording
from pointsman_service.store.tasks.changing import Change
from pointsman_service.store.tasks.ending import Ending, end_unstarted

NOW = datetime.now(UTC)
SMTP = ("dependency", "smtp")
HELD_BY = {
    "release": "breaker:dependency:smtp",
    "probe": "breaker:dependency:smtp",
    "known again": "unknown_task_type",
    "quarantine is over": "quarantine",
    "unclaimed": "unclaimed",
}
IN_A_ROW = {"quarantine": MOST_IN_A_ROW - 1, "interrupted alone": MOST_IN_A_ROW}
Way = Callable[[Connection, str], Awaitable[object]]
Move = tuple[TaskState, TaskState]
STANDS = [(state, place) for place, states in PLACES.items() for state in states]


def an_end(task: str, state: TaskState = TaskState.FAILED, attempt: int = 1, retry_at: datetime | None = None) -> End:
    return End(
        task, attempt, str(state), NOW, NOW, "w", 0.5, None, "E", "no", "", None, retry_at, 9 if retry_at else None,
        "dependency:smtp",
    )  # fmt: skip


def ends(state: TaskState, attempt: int) -> Way:
    async def end(connection: Connection, task: str) -> None:
        async with Ending(connection, ()) as ending:
            await ending.end([an_end(task, state, attempt)])

    return end


def due_in(seconds: float) -> Way:
    async def due(connection: Connection, task: str) -> None:
        # What is alone in quarantine is not changed.
        await connection.execute(text("DELETE FROM quarantine_queue"))
        await changing.change(connection, task, Change(delay_seconds=seconds))

    return due


WAYS: dict[str, Way] = {
    "begin": lambda c, task: recording.begin(c, [Start(task, 2, NOW, "w")]),
    "retry": lambda c, task: recording.retry(c, [an_end(task, retry_at=NOW)]),
    "block": lambda c, task: recording.block(c, [an_end(task)]),
    "hold": lambda c, task: recording.hold(c, [Refused(task, 1, "unknown_task_type")]),
    "ask": lambda c, task: recording.take_back(c, [(task, 1)]),
    "stop": lambda c, task: rescuing.stop(c, [an_end(task)]),
    "interrupt": lambda c, task: rescuing.interrupt(c, (), [Running(task, 1, "w")]),
    "quarantine": lambda c, task: rescuing.interrupt(c, (), [Running(task, 1, "w")]),
    "interrupted alone": lambda c, task: rescuing.interrupt(c, (), [Running(task, 1, "w")]),
    "lost": lambda c, task: unclaimed.take_back(c, [Unclaimed(task, 1, 1.0)], 3),
    "lost too often": lambda c, task: unclaimed.take_back(c, [Unclaimed(task, 1, 1.0)], 1),
    "unclaimed": lambda c, task: unclaimed.fail(c, (), [Spent(task, 1)], RetryPolicy()),
    "due": lambda c, _: dispatching.wake_due(c, 10),
    "top up": lambda c, _: dispatching.top_up(c, "maintenance", 10, 1),
    "sort out": lambda c, _: dispatching.sort_out(c, "maintenance", 10, 10, 1),
    "left behind": lambda c, _: dispatching.take_back_left_behind(c, -1.0, 10),
    "epoch": lambda c, _: epochs.send_again(c, 2, [], 10),
    "release": lambda c, _: holding.release(c, SMTP, 10),
    "probe": lambda c, task: holding.let_probes_go(c, SMTP, [task]),
    "known again": lambda c, _: unserved.release(c, [("maintenance", "noop")], 10),
    "unpublished": lambda c, task: unserved.hold_unpublished(c, [(task, 1)]),
    "unserved": lambda c, _: unserved.hold_waiting(c, "maintenance", ["noop"], 10),
    "quarantine is over": lambda c, _: quarantine.let_go(c, 0.0),
    "put off": due_in(60.0),
    "run now": due_in(0.0),
    "cancel": lambda c, task: end_unstarted(c, (), [task], [task], TaskState.CANCELLED, NOW),
    "expire": lambda c, task: end_unstarted(c, (), [task], [task], TaskState.EXPIRED, NOW),
    "fail fast": lambda c, task: end_unstarted(c, (), [task], [task], TaskState.FAILED, NOW, ("BreakerOpen", "no")),
} | {f"{state}, attempt {n}": ends(state, n) for state in TERMINAL for n in (1, 2)}
PLACE_ONLY = {"ask", "left behind", "epoch", "lost", "top up"}
"""These change where a task waits, and not its state."""


async def moves_of(connection: Connection, name: str) -> set[Move]:
    """What becomes of a row of every state and place; nothing of it stays."""
    found: set[Move] = set()
    for state, place in STANDS:
        savepoint = await connection.begin_nested()
        task = await stands(connection, state, place, HELD_BY.get(name, "elsewhere"), IN_A_ROW.get(name, 0))
        await WAYS[name](connection, task)
        parameters = {"id": task}
        after = await connection.execute(
            text("SELECT state FROM task_live WHERE id = :id UNION ALL SELECT state FROM task WHERE id = :id"),
            parameters,
        )
        found.add((state, TaskState(after.scalar_one())))
        await savepoint.rollback()
    return {(old, new) for old, new in found if old is not new}


async def stands(connection: Connection, state: TaskState, place: Place, held_by: str, in_a_row: int) -> str:
    """A task in this state, and everything else so that it may be moved on."""
    task = str(uuid_utils.uuid7())
    await connection.execute(
        text(
            "INSERT INTO task_live (id, state, place, task_type, queue, priority, attempt, max_attempts, dispatch,"
            " sent_epoch, sla_seconds, timeout_seconds, due_at, caller, args, kwargs, worker, started_at, held_reason,"
            " held_at, interrupted_in_a_row, dependencies) VALUES (CAST(:id AS uuid), :state, :place, 'noop',"
            " 'maintenance', 3, 1, 9, 1, 1, 300, 300, now(), 'local', '[]', '{}', 'w', now(),"
            " CASE WHEN :state = 'held' THEN CAST(:held_by AS text) END, CASE WHEN :state = 'held' THEN now() END,"
            " :in_a_row, CASE WHEN :state = 'queued' THEN ARRAY['ldap'] END)"
        ),
        {"id": task, "state": str(state), "place": str(place), "held_by": held_by, "in_a_row": in_a_row},
    )
    for statement in (
        "INSERT INTO outbox (task_ids, created_at) VALUES (ARRAY[CAST(:id AS uuid)], 'epoch')",
        "INSERT INTO breaker (scope, name, seen, machine) VALUES ('dependency', 'ldap', 'open', '{}')",
        "INSERT INTO quarantine_queue (queue, task_id, since) VALUES ('alone', CAST(:id AS uuid), 'epoch')",
    ):
        await connection.execute(text(statement), {"id": task} if ":id" in statement else {})
    return task


@pytest.fixture
async def moves(store: Store) -> dict[str, set[Move]]:
    async with store.transaction() as connection:
        return {name: await moves_of(connection, name) for name in WAYS}


async def test_no_statement_makes_a_move_that_is_not_legal(moves: dict[str, set[Move]]) -> None:
    illegal = {
        f"{name}: {old} became {new}"
        for name, made in moves.items()
        for old, new in made
        if new not in LEGAL_MOVES[old]
    }
    assert illegal == set()
    assert {name for name, made in moves.items() if not made} == PLACE_ONLY, "every other one moves something here"


async def test_every_unfinished_task_can_end_in_every_legal_way(moves: dict[str, set[Move]]) -> None:
    made = {move for found in moves.values() for move in found if move[1] in TERMINAL}
    legal = {(old, new) for old in UNFINISHED for new in TERMINAL if new in LEGAL_MOVES[old]}
    # What runs ends so only by what its worker reports, as in the test below.
    assert legal - made == {(TaskState.RUNNING, TaskState.CANCELLED), (TaskState.RUNNING, TaskState.EXPIRED)}


async def test_a_failure_of_a_task_that_is_to_be_cancelled_cancels_it(store: Store) -> None:
    async with store.transaction() as connection:
        task = await stands(connection, TaskState.RUNNING, Place.SENT, "", 0)
        asked = text("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 1 WHERE id = :id")
        await connection.execute(asked, {"id": task})
        await ends(TaskState.FAILED, 1)(connection, task)
        assert (await connection.execute(text("SELECT state FROM task"))).scalar_one() == TaskState.CANCELLED

"""Does another attempt follow a failed one, and after how long? The worker asks before it reports, its parent where the
process died, and Postgres decides: for the recorder, and for an attempt that nobody began. One table says what.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import uuid_utils

from pointsman.node.keeper import Keeper
from pointsman.node.node import Node
from pointsman.node.slots import Run, Slots
from pointsman.parent.lost import LostChildren
from pointsman.settings import Settings
from pointsman.task_type.retrying import AttemptRetries, RetryRules
from pointsman_contract.message import ManagedHeader
from pointsman_contract.queues import list_key
from pointsman_contract.retry import RetryPolicy
from pointsman_service.store.lost import unclaimed
from pointsman_service.store.lost.unclaimed import UNCLAIMED, Spent
from pointsman_service.store.reported import End
from pointsman_service.store.tasks import recording
from tests.integration.spine import Spine, new_task

POLICY = RetryPolicy(max_retries=9, interval_start=1, interval_step=2, interval_max=20, jitter=False)
RULES = RetryRules(POLICY, POLICY, (), ())


class Case(NamedTuple):
    """An attempt that failed, as its task's row tells it."""

    attempt: int
    interruptions: int
    max_attempts: int
    follows: bool
    seconds: float
    """By ``POLICY``, where another follows."""

    def __str__(self) -> str:
        return f"attempt {self.attempt}, {self.interruptions} interrupted, of {self.max_attempts}"


CASES = [
    Case(1, 0, 1, False, 0),
    Case(1, 0, 2, True, 3),
    Case(2, 0, 2, False, 0),
    Case(2, 0, 3, True, 5),
    Case(4, 0, 9, True, 17),
    Case(6, 0, 9, True, 20),
    Case(2, 1, 1, False, 0),
    Case(2, 1, 2, True, 3),
    Case(4, 3, 2, True, 3),
    Case(5, 3, 2, False, 0),
    Case(5, 3, 3, True, 5),
]


@pytest.fixture
async def tasks(spine: Spine) -> dict[str, Case]:
    """A task for each case, as its row is before that attempt."""
    found = {str(uuid_utils.uuid7()): case for case in CASES}
    for task, case in found.items():
        await spine.commits.join(new_task(id=task, max_attempts=case.max_attempts))
    await spine.commits.drain()
    for task, case in found.items():
        await spine.run(
            "UPDATE task_live SET place = 'waiting', attempt = :attempt, interruptions = :interruptions WHERE id = :id",
            id=task, attempt=case.attempt - 1, interruptions=case.interruptions,
        )  # fmt: skip
    return found


async def test_worker_and_its_parent_follow_the_table(
    spine: Spine, tasks: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_REDIS_URL", spine.settings.require_redis_url())
    await spine.server.command("DEL", list_key("maintenance", 7))
    await spine.dispatcher.single_pass()
    node = Node("n@h", Settings(), Slots(1), 1, ["maintenance"])
    connection: Any = None
    parent = LostChildren(node, connection, Keeper(Settings(), lambda kept, epoch: None), {"noop": RULES})
    seen = 0
    while (message := await spine.message(list_key("maintenance", 7))) is not None:
        case, header = tasks[message["headers"]["id"]], message["headers"]["pointsman"]
        seen += 1
        told: ManagedHeader = header
        retries = AttemptRetries.of(RULES, told, case.attempt)
        assert retries.is_last is not case.follows, str(case)
        run = Run("t", "k", "noop", "maintenance", 1, 0.0, 0.0, case.attempt, interruptions=case.interruptions)
        assert header.get("interruptions", 0) == case.interruptions
        if case.follows:
            assert retries.seconds_after(ValueError()) == case.seconds, str(case)
            assert parent._retry_in(run, timed_out=False) == case.seconds, str(case)
    assert seen == len(CASES)


async def test_recorder_follows_the_table(spine: Spine, tasks: dict[str, Case]) -> None:
    now = datetime.now(UTC)
    await spine.run("UPDATE task_live SET state = 'running', place = 'sent', attempt = attempt + 1, started_at = now()")
    ends = [
        End(
            task, case.attempt, "failed", now, now, "w@h", 0.1, None, "ValueError", "", "",
            retry_at=now + timedelta(seconds=5), executed=True,
        )
        for task, case in tasks.items()
    ]  # fmt: skip
    async with spine.store.transaction() as connection:
        retried = {moved.id for moved in await recording.retry(connection, ends)}
    assert retried == {task for task, case in tasks.items() if case.follows}


async def test_attempt_that_nobody_began_follows_the_table(spine: Spine, tasks: dict[str, Case]) -> None:
    await spine.run(
        f"UPDATE task_live SET state = 'held', place = 'held', held_reason = '{UNCLAIMED}', held_at = now()"
    )
    async with spine.store.transaction() as connection:
        spent = [Spent(task, case.attempt - 1) for task, case in tasks.items()]
        await unclaimed.fail(connection, (), spent, POLICY)
    rows = await spine.rows(
        "SELECT id, extract(epoch FROM due_at - a.finished_at)::float8 AS seconds FROM task_live"
        " JOIN task_attempt a ON a.task_id = id WHERE state = 'retrying'"
    )
    assert {str(row["id"]): pytest.approx(row["seconds"]) for row in rows} == {
        task: case.seconds for task, case in tasks.items() if case.follows
    }

"""What a submission says is in the row, in the message, and in the task that runs it again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import uuid_utils

from pointsman_contract.queues import list_key
from pointsman_contract.states import TaskState
from pointsman_service.store.columns import LIVE, SUBMITTED
from pointsman_service.store.tasks import replaying
from pointsman_service.store.tasks.ending import end_unstarted
from pointsman_service.store.tasks.submitting import NewTask
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
NOW = datetime.now(UTC)


def full(**changes: Any) -> NewTask:
    """Every field has a value that is no default."""
    task = new_task(
        **{
            "task_type": "echo", "queue": "maintenance", "priority": 3, "args": "[1]", "kwargs": '{"a":1}',
            "tags": '{"tenant":"7"}', "caller": "me", "scheduled_at": NOW + timedelta(hours=1), "delay_seconds": 5.5,
            "expires_at": NOW + timedelta(hours=2), "timeout_seconds": 2.5, "requested_timeout_seconds": 2.5,
            "sla_seconds": 1.5, "max_attempts": 5, "traceparent": "00-1", "sent_epoch": 1, "dependencies": "smtp\nldap",
            "fairness_key": "tenant-7", "alone": True,
        }
        | changes
    )  # fmt: skip
    blank = new_task()
    same = {name for name in SUBMITTED if getattr(task, name) == getattr(blank, name)}
    assert same == ({"queue", "priority"} | {name for name in changes if getattr(task, name) is None})
    return task


async def test_a_row_has_everything_that_was_submitted(spine: Spine) -> None:
    task = full()
    receipt = await spine.commits.join(task)
    (row,) = await spine.rows("SELECT * FROM task_live")
    assert row == task.as_row(receipt.submitted_at) | {"id": row["id"]}


async def test_a_task_that_runs_another_again_takes_over_what_was_asked_for(spine: Spine) -> None:
    old = full()
    await spine.commits.join(old)
    new = str(uuid_utils.uuid7())
    async with spine.store.transaction() as connection:
        await end_unstarted(connection, (), [old.id], [], TaskState.EXPIRED, NOW)
        replayed = await replaying.replay(
            connection, [(old.id, new)], states=replaying.REPLAYABLE, queues=["maintenance"], replay_id=None,
            rate_per_second=None, caller="you", traceparent="00-2",
        )  # fmt: skip
    assert replayed.tasks == 1
    (before,) = await spine.rows("SELECT * FROM task")
    (row,) = await spine.rows("SELECT * FROM task_live")
    assert {name: row[name] for name, said in SUBMITTED.items() if said.copied} == {
        name: before[name] for name, said in SUBMITTED.items() if said.copied
    }
    own = {"id": row["id"], "caller": "you", "traceparent": "00-2", "alone": False}
    assert {name: row[name] for name, said in SUBMITTED.items() if not said.copied} == own | dict.fromkeys(
        ("scheduled_at", "delay_seconds", "expires_at", "sent_epoch")
    )
    assert (str(row["id"]), str(row["replayed_from"]), row["due_at"]) == (new, old.id, replayed.last_due_at)
    assert row.keys() == set(LIVE)
    assert (row["state"], row["place"], row["attempt"]) == ("queued", "waiting", 0)
    assert (await spine.counters())["submitted"] == 2
    assert await spine.rows("SELECT id FROM outbox") == []


async def test_a_message_is_the_same_whoever_sends_it(spine: Spine) -> None:
    at_once = full(scheduled_at=None, delay_seconds=None, sent_epoch=None)
    await spine.commits.join(at_once)
    await spine.commits.drain()
    spine.window.shut()
    later = full(scheduled_at=None, delay_seconds=None, sent_epoch=None)
    await spine.commits.join(later)
    await spine.dispatcher.single_pass()
    messages = []
    for task in (at_once, later):
        message = await spine.message(MAINTENANCE)
        assert message is not None
        assert message["headers"]["id"] == task.id
        for name in ("sequence", "sent_at"):
            del message["headers"]["pointsman"][name]
        messages.append(str(message).replace(task.id, "id"))
    assert messages[0] == messages[1]
    assert "'dependencies': ['smtp', 'ldap']" in messages[0]

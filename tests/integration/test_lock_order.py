"""Whoever waits for a row of ``task_live`` holds none with a higher id: nobody waits for each other in a circle."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import uuid_utils
from sqlalchemy import text

from pointsman_contract.events import EventKind, OutcomeBody
from pointsman_contract.retry import RetryPolicy
from pointsman_contract.states import TaskState
from pointsman_service.breaker.registry import Registry
from pointsman_service.record.batch import Batch, record
from pointsman_service.record.events import Event
from pointsman_service.store.lost import rescuing, unclaimed
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.lost.unclaimed import Spent, Unclaimed
from pointsman_service.store.queues import dispatching, holding, quarantine, unserved
from pointsman_service.store.store import Connection
from pointsman_service.store.streams import epochs
from pointsman_service.store.tasks import acts, purging, replaying
from pointsman_service.store.tasks.acts import Stage, TaskAct, TaskActKind
from pointsman_service.store.tasks.ending import end_unstarted
from tests.integration.spine import Spine, new_task
from tests.stand.waiting import until

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
SMTP = ("dependency", "smtp")
REPLAY = str(uuid_utils.uuid7())
ACT = TaskAct(
    UUID(REPLAY), TaskActKind.CANCEL, Stage.WALKING, NOW, "local", None, {}, None, LATER, None, None, None, None, 0, 0,
    0, None, 0, 0,
)  # fmt: skip
SENT = "place = 'sent', state = 'queued', dispatch = 1, sent_epoch = 1"
HELD = "place = 'held', state = 'held', held_at = now(), held_reason = "

Ids = list[str]
Write = Callable[[Spine, Connection, Ids], Awaitable[object]]


async def recorded(spine: Spine, connection: Connection, ids: Ids) -> None:
    body: OutcomeBody = {
        "worker": "w@h",
        "task_type": "noop",
        "queue": "maintenance",
        "dispatch": 1,
        "started_at": 0.0,
        "run_seconds": 0.1,
    }
    kinds = [EventKind.SUCCEEDED, EventKind.STARTED, EventKind.STARTED, EventKind.UNKNOWN, EventKind.ASK]
    events = [
        Event(f"{number}-0", kind, task, 1, NOW, False, body)
        for number, (kind, task) in enumerate(zip(kinds, ids, strict=True))
    ]
    await record(connection, Batch(events), Registry(spine.store, spine.settings))


WRITES: dict[str, tuple[str, Write]] = {
    "recorder": (SENT, recorded),
    "purge": (SENT, lambda _, c, __: purging.purge(c, "maintenance", [TaskState.QUEUED], LATER)),
    "cancel by filter": (SENT, lambda _, c, ids: acts.cancel(c, ACT, ids)),
    "end": (SENT, lambda _, c, ids: end_unstarted(c, (), [], ids, TaskState.CANCELLED, NOW)),
    "withdraw": (SENT, lambda _, c, ids: replaying.withdraw(c, REPLAY, ids)),
    "lost": (SENT, lambda _, c, ids: unclaimed.take_back(c, [Unclaimed(one, 1, 1.0) for one in ids], 3)),
    "unclaimed": (
        HELD + "'unclaimed'",
        lambda _, c, ids: unclaimed.fail(c, (), [Spent(one, 0) for one in ids], RetryPolicy()),
    ),
    "outbox": (SENT, lambda _, c, __: dispatching.take_back_left_behind(c, 0.0, 100)),
    "epoch": (SENT, lambda _, c, __: epochs.send_again(c, 2, [], 100)),
    "interrupt": (
        "place = 'sent', state = 'running', attempt = 1, worker = 'w@h', started_at = now()",
        lambda _, c, ids: rescuing.interrupt(c, (), [Running(one, 1, "w@h") for one in ids]),
    ),
    "probes": (HELD + "'breaker:dependency:smtp'", lambda _, c, ids: holding.let_probes_go(c, SMTP, ids)),
    "unpublished": (SENT, lambda _, c, ids: unserved.hold_unpublished(c, [(one, 1) for one in ids])),
    "quarantine": (HELD + "'quarantine'", lambda _, c, __: quarantine.let_go(c, 0.0)),
}


@pytest.fixture
async def ids(spine: Spine) -> Ids:
    """Five tasks that lie in the table against the order of their ids, and all that the writes look for."""
    found = sorted(str(uuid_utils.uuid7()) for _ in range(5))
    for one in reversed(found):
        await spine.commits.join(new_task(id=one))
        await spine.commits.drain()
    await spine.run("TRUNCATE outbox")
    await spine.run("INSERT INTO outbox (task_ids, created_at) SELECT array_agg(id), 'epoch' FROM task_live")
    await spine.run("INSERT INTO quarantine_queue (queue, task_id, since) SELECT id::text, id, 'epoch' FROM task_live")
    await spine.run(
        "INSERT INTO replay (id, caller, wanted, matched, tasks) VALUES (CAST(:id AS uuid), 'local', '{}', 5, 5)",
        id=REPLAY,
    )
    await spine.run(
        "INSERT INTO replayed_task (task_id, replayed_as, replay_id)"
        " SELECT gen_random_uuid(), id, CAST(:id AS uuid) FROM task_live",
        id=REPLAY,
    )
    return found


@pytest.mark.parametrize("name", WRITES)
async def test_who_waits_for_a_task_holds_none_after_it(spine: Spine, ids: Ids, name: str) -> None:
    before, write = WRITES[name]
    await spine.run(f"UPDATE task_live SET {before}")

    async def written() -> None:
        async with spine.store.transaction() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            await write(spine, connection, ids)

    async def waits() -> bool:
        return bool(
            await spine.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )

    versions = "SELECT id, xmin::text AS version FROM task_live"
    old = {row["version"] for row in await spine.rows(versions)}
    async with asyncio.TaskGroup() as group, spine.store.transaction() as holder:
        await holder.execute(text("SELECT FROM task_live WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": ids[0]})
        group.create_task(written())
        await until(waits, "the write to wait for the first task")
        free = await spine.rows("SELECT id FROM task_live WHERE id <> :first FOR UPDATE SKIP LOCKED", first=ids[0])
        assert len(free) == 4
    assert old.isdisjoint({row["version"] for row in await spine.rows(versions)}), "every row was about to change"

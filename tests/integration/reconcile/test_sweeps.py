from datetime import UTC, datetime, timedelta

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.forgotten_keys import ForgottenKeysSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.reconcile.partitions import PartitionSweep
from pointsman_service.store.upkeep.partitions import DAYS_AHEAD, lowest_id, partition_name
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def test_a_task_whose_time_has_come_waits_for_the_dispatcher(spine: Spine) -> None:
    now, later = new_task(delay_seconds=3600.0), new_task(delay_seconds=7200.0)
    await spine.commits.join(now)
    await spine.commits.join(later)
    await spine.run("UPDATE task_live SET due_at = now() WHERE delay_seconds = 3600")
    await DueSweep(spine.store, spine.settings).single_pass()
    rows = await spine.rows("SELECT id::text, state, place FROM task_live ORDER BY delay_seconds")
    assert rows == [
        {"id": now.id, "state": "queued", "place": "waiting"},
        {"id": later.id, "state": "scheduled", "place": "asleep"},
    ]


async def unpublished(spine: Spine) -> str:
    """A task that was committed as sent and whose process died before publishing."""
    await spine.server.command("HSET", keys.CONTROL, "open", "0")
    task = new_task()
    await spine.commits.join(task)
    await spine.commits.drain()
    await spine.server.command("HSET", keys.CONTROL, "open", "1")
    return task.id


async def test_what_was_committed_and_not_published_is_sent_again(spine: Spine) -> None:
    task = await unpublished(spine)
    sweep = OutboxSweep(spine.store, spine.settings)
    await sweep.single_pass()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "sent"}], "it may still be on its way"
    await spine.run("UPDATE outbox SET created_at = now() - interval '1 minute'")
    await sweep.single_pass()
    assert await spine.rows("SELECT id FROM outbox") == []
    await spine.dispatcher.single_pass()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert (message["headers"]["id"], message["headers"]["pointsman"]["dispatch"]) == (task, 2)


async def test_a_task_published_after_all_runs_once(spine: Spine) -> None:
    """Killed after publishing, before the outbox row was dropped: faults.md row 3."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    await spine.run("""
        INSERT INTO outbox (task_ids, created_at) SELECT array_agg(id), now() - interval '1 minute' FROM task_live
    """)
    await OutboxSweep(spine.store, spine.settings).single_pass()
    await spine.dispatcher.single_pass()
    first, second = [await spine.message(MAINTENANCE) for _ in range(2)]
    assert first is not None
    assert second is not None
    assert (await spine.gate(first, token="1"))[0] == b"run"
    assert await spine.gate(second, token="2") == [b"duplicate"]


async def test_a_task_that_was_seen_to_start_stays_where_it_is(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message)
    await spine.record_all()
    await spine.run("""
        INSERT INTO outbox (task_ids, created_at) SELECT array_agg(id), now() - interval '1 minute' FROM task_live
    """)
    await OutboxSweep(spine.store, spine.settings).single_pass()
    assert await spine.rows("SELECT state, place FROM task_live") == [{"state": "running", "place": "sent"}]


async def expire(spine: Spine) -> bool:
    await spine.run("UPDATE task_live SET expires_at = now() - interval '1 second'")
    return await ExpiredSweep(spine.store, spine.server, spine.settings).single_pass()


async def test_a_task_that_waits_in_postgres_expires(spine: Spine) -> None:
    await spine.commits.join(new_task(delay_seconds=60.0))
    await expire(spine)
    (row,) = await spine.rows("SELECT state, attempt, started_at, sla_met FROM task")
    assert row == {"state": "expired", "attempt": 0, "started_at": None, "sla_met": None}
    assert await spine.rows("SELECT id FROM task_live") == []
    assert await spine.counters() == {"submitted": 1, "expired": 1}


async def test_a_task_on_the_broker_expires_and_its_message_finds_the_claim_closed(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    await expire(spine)
    assert await spine.rows("SELECT state FROM task") == [{"state": "expired"}]
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert await spine.gate(message) == [b"expired"]
    await spine.record_all()
    assert await spine.counters() == {"submitted": 1, "expired": 1}


async def test_a_task_that_expired_past_its_target_missed_it(spine: Spine) -> None:
    await spine.commits.join(new_task(sla_seconds=5.0))
    await spine.commits.drain()
    await spine.run("UPDATE task_live SET due_at = due_at - interval '1 minute'")
    await expire(spine)
    assert await spine.rows("SELECT state, sla_met FROM task") == [{"state": "expired", "sla_met": False}]
    assert await spine.counters() == {"submitted": 1, "expired": 1, "sla_missed": 1}


async def test_a_task_that_was_taken_back_expires_only_through_its_claim(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.run("UPDATE task_live SET place = 'waiting'")
    verdict = await spine.gate(message)
    await expire(spine)
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_a_task_that_expires_before_its_next_attempt_tells_why_the_last_one_failed(spine: Spine) -> None:
    await spine.commits.join(new_task(max_attempts=3))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback …"}
    await spine.report(message, await spine.gate(message), "failed", error=error, retry_in_seconds=60.0)
    await spine.record_all()
    await expire(spine)
    assert await spine.rows("SELECT state, attempt, error_type, error_message, error_traceback FROM task") == [
        {
            "state": "expired",
            "attempt": 1,
            "error_type": "ValueError",
            "error_message": "no",
            "error_traceback": "Traceback …",
        }
    ]


async def test_a_task_that_began_in_time_does_not_expire(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await expire(spine)
    assert await spine.rows("SELECT state FROM task") == [], "its start is not recorded yet, its claim says so"
    await spine.record_all()
    await expire(spine)
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_keys_are_forgotten_after_a_day(spine: Spine) -> None:
    await spine.commits.join(new_task(key="old", fingerprint="f"))
    await spine.run("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
    await spine.commits.join(new_task(key="new", fingerprint="f"))
    await ForgottenKeysSweep(spine.store, spine.settings).single_pass()
    assert await spine.rows("SELECT key FROM idempotency_key") == [{"key": "new"}]


async def test_each_of_the_next_days_gets_its_partition_once(spine: Spine) -> None:
    sweep = PartitionSweep(spine.store)
    await sweep.single_pass()
    await sweep.single_pass()
    (found,) = await spine.rows("SELECT count(*)::int AS n FROM pg_inherits WHERE inhparent = 'task'::regclass")
    assert found["n"] == DAYS_AHEAD + 2, "today, the days ahead, and the default"


async def test_rows_of_the_default_partition_move_into_their_day(spine: Spine) -> None:
    await spine.commits.join(new_task(delay_seconds=60.0))
    await expire(spine)
    await PartitionSweep(spine.store).single_pass()
    today = partition_name(datetime.now(UTC).date())
    (row,) = await spine.rows("SELECT tableoid::regclass::text AS partition FROM task")
    assert row["partition"] == today


def test_the_lowest_id_of_a_moment_sorts_before_every_id_made_since() -> None:
    assert str(lowest_id(datetime.now(UTC) - timedelta(milliseconds=2))) < new_task().id
    assert str(lowest_id(datetime.now(UTC) + timedelta(minutes=1))) > new_task().id

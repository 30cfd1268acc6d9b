import asyncio
import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from pointsman_contract.queues import list_key
from pointsman_service.database import create_engine
from pointsman_service.errors import DatabaseAway, InvalidRequest, KeyInUse, PointsmanError, TooManyWaiting
from pointsman_service.settings import Settings
from pointsman_service.store.store import ConnectionLost, Store
from pointsman_service.store.tasks import submitting
from pointsman_service.submit.group_commit import GroupCommit
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def test_a_submission_is_stored_counted_and_published(spine: Spine) -> None:
    task = new_task(kwargs='{"a":1}')
    receipt = await spine.commits.join(task)
    await spine.commits.drain()
    (row,) = await spine.rows("SELECT * FROM task_live")
    assert row == task.as_row(receipt.submitted_at) | {"id": row["id"]}
    assert str(row["id"]) == task.id
    message = await spine.message(MAINTENANCE)
    assert message is not None
    assert message["headers"]["id"] == task.id
    assert await spine.rows("SELECT * FROM outbox") == []
    assert await spine.counters() == {"submitted": 1}


async def test_submissions_that_wait_together_share_one_commit(spine: Spine) -> None:
    receipts = await asyncio.gather(*(spine.commits.join(new_task()) for _ in range(600)))
    assert len({receipt.submitted_at for receipt in receipts}) <= 4, "256 rows at most in each"
    assert await spine.rows("SELECT count(*)::int AS n FROM task_live") == [{"n": 600}]


async def test_a_submission_that_follows_the_last_answer_at_once_is_not_left_waiting(
    spine: Spine, settings: Settings
) -> None:
    one = settings.model_copy(update={"commits_in_flight": 1})
    commits = GroupCommit(spine.store, spine.publisher, spine.window, one)
    async with asyncio.timeout(20):
        for _ in range(20):
            await commits.join(new_task())
    await commits.drain()
    assert await spine.rows("SELECT count(*)::int AS n FROM task_live") == [{"n": 20}]


async def test_one_bad_row_does_not_touch_its_neighbours(spine: Spine) -> None:
    tasks = [new_task() for _ in range(20)]
    tasks[7].priority = 99
    answers = await asyncio.gather(*(spine.commits.join(task) for task in tasks), return_exceptions=True)
    assert isinstance(answers[7], InvalidRequest)
    assert all(not isinstance(answer, BaseException) for place, answer in enumerate(answers) if place != 7)
    assert await spine.rows("SELECT count(*)::int AS n FROM task_live") == [{"n": 19}]
    assert await spine.counters() == {"submitted": 19}


async def test_a_value_past_a_limit_of_the_database_is_no_fault_of_the_caller(spine: Spine) -> None:
    tasks = [new_task() for _ in range(4)]
    # A row of an index has a limit of some 2,700 bytes.
    await spine.run("CREATE INDEX ON task_live (args)")
    tasks[1].args = json.dumps([random.Random(1).randbytes(20_000).hex()])
    answers = await asyncio.gather(*(spine.commits.join(task) for task in tasks), return_exceptions=True)
    assert isinstance(answers[1], PointsmanError)
    assert answers[1].status == 500
    assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False, False]


async def test_a_caller_who_hangs_up_does_not_touch_its_neighbours(spine: Spine) -> None:
    callers = [asyncio.create_task(spine.commits.join(new_task())) for _ in range(10)]
    await asyncio.sleep(0)
    callers[3].cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 9
    (stored,) = await spine.rows("SELECT count(*)::int AS n FROM task_live")
    assert stored["n"] >= 9


@pytest.mark.parametrize(
    ("changes", "state", "place"),
    [
        ({"delay_seconds": 60.0}, "scheduled", "asleep"),
        ({"scheduled_at": datetime(2090, 1, 1, tzinfo=UTC)}, "scheduled", "asleep"),
        ({"scheduled_at": datetime(2020, 1, 1, tzinfo=UTC)}, "queued", "waiting"),
        ({"delay_seconds": 0.0}, "queued", "sent"),
    ],
)
async def test_a_task_for_later_is_not_published(spine: Spine, changes: dict[str, Any], state: str, place: str) -> None:
    task = new_task(**changes)
    receipt = await spine.commits.join(task)
    (row,) = await spine.rows("SELECT id, state, place, due_at FROM task_live")
    expected = task.as_row(receipt.submitted_at)
    assert (row["state"], row["place"]) == (state, place) == (expected["state"], expected["place"])
    assert abs(row["due_at"] - expected["due_at"]) < timedelta(milliseconds=1)


async def test_without_an_epoch_a_submission_is_accepted_and_waits(closed_spine: Spine) -> None:
    await closed_spine.commits.join(new_task())
    assert await closed_spine.rows("SELECT place FROM task_live") == [{"place": "waiting"}]
    assert await closed_spine.rows("SELECT * FROM outbox") == []


async def test_a_full_window_lets_later_submissions_wait(spine: Spine) -> None:
    for _ in range(spine.settings.window_initial):
        assert spine.window.reserve("maintenance") is not None
    await spine.commits.join(new_task())
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "waiting"}]


async def test_what_the_broker_did_not_take_stays_in_the_outbox(spine: Spine) -> None:
    await spine.server.command("HSET", "pointsman:control", "open", "0")
    await spine.commits.join(new_task())
    await spine.commits.drain()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "sent"}]
    assert await spine.rows("SELECT cardinality(task_ids) AS n FROM outbox") == [{"n": 1}]


async def test_the_same_key_again_stores_nothing(spine: Spine) -> None:
    first, second = (new_task(key="k", fingerprint="f") for _ in range(2))
    assert (await spine.commits.join(first)).accepted
    assert not (await spine.commits.join(second)).accepted
    assert [str(row["id"]) for row in await spine.rows("SELECT id FROM task_live")] == [first.id]
    assert await spine.counters() == {"submitted": 1}


async def test_a_key_older_than_a_day_is_new_again(spine: Spine) -> None:
    first, second = (new_task(key="k", fingerprint="f") for _ in range(2))
    await spine.commits.join(first)
    await spine.run("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
    assert (await spine.commits.join(second)).accepted
    assert await spine.rows("SELECT task_id::text FROM idempotency_key") == [{"task_id": second.id}]


async def test_a_key_held_by_an_open_transaction_is_in_use_and_others_go_on(spine: Spine) -> None:
    claim = text("INSERT INTO idempotency_key VALUES ('local', 'held', gen_random_uuid(), 'f')")
    async with spine.store.transaction() as connection:
        await connection.execute(claim)
        answers = await asyncio.gather(
            spine.commits.join(new_task(key="held", fingerprint="f")),
            spine.commits.join(new_task(key="free", fingerprint="f")),
            spine.commits.join(new_task()),
            return_exceptions=True,
        )
    assert isinstance(answers[0], KeyInUse)
    assert answers[0].retry_after_seconds == 1
    assert [getattr(answer, "accepted", None) for answer in answers[1:]] == [True, True]


async def test_a_held_key_is_waited_for_once_and_not_at_every_halving_of_its_group(
    spine: Spine, settings: Settings
) -> None:
    claim = text("INSERT INTO idempotency_key VALUES ('local', 'key 99', gen_random_uuid(), 'f')")
    tasks = [new_task(key=f"key {number}", fingerprint="f") for number in range(128)]
    async with spine.store.transaction() as connection:
        await connection.execute(claim)
        began = time.monotonic()
        answers = await spine.commits.write_batch(tasks)
        took = time.monotonic() - began
    assert [number for number, answer in enumerate(answers) if isinstance(answer, KeyInUse)] == [99]
    assert settings.idempotency_wait_seconds <= took < 3 * settings.idempotency_wait_seconds, "not eight times"


async def test_an_atomic_batch_with_a_bad_row_stores_nothing(spine: Spine) -> None:
    tasks = [new_task(), new_task(key="k", fingerprint="f"), new_task(priority=99)]
    with pytest.raises(InvalidRequest):
        await spine.commits.write_atomic(tasks)
    assert await spine.rows("SELECT id FROM task_live") == []
    assert await spine.rows("SELECT key FROM idempotency_key") == []


async def test_a_database_that_is_away_is_said_at_once_and_stores_nothing(spine: Spine, settings: Settings) -> None:
    nowhere = Settings(database_url=SecretStr("postgresql://a@/x?host=/nowhere"), redis_url=settings.redis_url)
    store = Store(create_engine(nowhere, "test"))
    commits = GroupCommit(store, spine.publisher, spine.window, settings)
    with pytest.raises(DatabaseAway):
        await commits.join(new_task())
    await commits.drain()
    await store.close()


async def test_a_commit_whose_connection_breaks_is_looked_up(spine: Spine) -> None:
    """The backend dies after the commit is durable and before it can say so: a trigger that ends its own backend is the
    nearest thing, and there nothing is stored.
    """
    await spine.run("""
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NEW; END $$
    """)
    await spine.run("CREATE TRIGGER die BEFORE INSERT ON task_live FOR EACH ROW EXECUTE FUNCTION die()")
    task = new_task()
    with pytest.raises(Exception, match="may or may not be stored") as raised:
        await spine.commits.join(task)
    assert raised.value.task_id == task.id  # type: ignore[attr-defined]  # OutcomeUnknown
    await spine.run("DROP TRIGGER die ON task_live")
    assert (await spine.commits.join(new_task())).accepted, "the next one gets a new connection"


async def test_more_than_may_wait_is_refused(spine: Spine, settings: Settings) -> None:
    few = settings.model_copy(update={"submissions_waiting": 5, "commit_rows": 1})
    commits = GroupCommit(spine.store, spine.publisher, spine.window, few)
    answers = await asyncio.gather(*(commits.join(new_task()) for _ in range(50)), return_exceptions=True)
    await commits.drain()
    assert any(isinstance(answer, TooManyWaiting) for answer in answers)
    accepted = sum(not isinstance(answer, BaseException) for answer in answers)
    assert await spine.rows("SELECT count(*)::int AS n FROM task_live") == [{"n": accepted}]


@pytest.mark.parametrize("at", ["store", "find_ids"])
async def test_a_fault_of_ours_is_no_fault_of_the_database(
    spine: Spine, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    async def lost(*_: Any) -> Any:
        raise ConnectionLost

    monkeypatch.setattr(submitting, "store", lost)
    monkeypatch.setattr(submitting, at, broken)
    with capture_logs() as logs, pytest.raises(PointsmanError) as raised:
        await spine.commits.join(new_task())
    # Of what was asked after a broken commit nothing is known, whatever keeps it from being asked.
    assert (raised.value.status, raised.value.code) == (
        (500, "internal") if at == "store" else (503, "outcome-unknown")
    )
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["exc_info"]

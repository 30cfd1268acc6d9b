"""What the recorder makes of outcomes for circuit breakers, and of tasks that these held."""

from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_service.breaker.registry import Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.errors import ExpectedFault
from pointsman_service.record.recorder import Recorder
from pointsman_service.settings import Settings
from pointsman_service.store.tasks import reading
from pointsman_service.store.tasks.listing import page_of
from tests.integration.spine import Spine, new_task
from tests.integration.tripped import SMTP, THRESHOLD, trip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    policy = settings.circuit_breaker.model_copy(update={"failure_threshold": THRESHOLD, "recovery_jitter": 0.0})
    return settings.model_copy(update={"circuit_breaker": policy, "breakers_most": 2})


async def sent(spine: Spine, **changes: Any) -> dict[str, Any]:
    """The message of a new task that depends on ``smtp``."""
    await spine.window.refresh()
    await spine.commits.join(new_task(dependencies="smtp", max_attempts=10, **changes))
    await spine.commits.drain()
    message = await spine.message("maintenance\x06\x167")
    assert message is not None
    return message


async def breakers(spine: Spine) -> list[tuple[str, str, int, int]]:
    rows = await spine.rows("SELECT name, seen, epoch, (machine ->> 'failures')::int AS failures FROM breaker")
    return [(row["name"], row["seen"], row["epoch"], row["failures"]) for row in rows]


async def test_successes_of_breakers_that_nothing_happened_to_write_nothing(spine: Spine) -> None:
    message = await sent(spine)
    await spine.tell(message, await spine.gate(message))
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]
    assert await breakers(spine) == []


async def test_failures_in_a_row_open_the_breaker_as_redis_did_already(spine: Spine) -> None:
    await trip(spine)
    assert await breakers(spine) == [("smtp", "open", 1, 0)]
    (transition,) = await spine.rows("SELECT before, after, actor FROM breaker_transition")
    assert transition == {"before": "closed", "after": "open", "actor": "breaker"}
    entry = await spine.server.command("HGET", keys.BREAKERS, SMTP)
    assert entry.startswith(b"!1|")
    assert b"provisional" in entry
    await Snapshot(spine.store, spine.server, spine.settings).push()
    confirmed = await spine.server.command("HGET", keys.BREAKERS, SMTP)
    assert confirmed.startswith(b"!1|")
    assert b"provisional" not in confirmed


async def test_breaker_and_its_history_tell_the_error_that_opened_it_with_task_and_count(spine: Spine) -> None:
    for number in range(THRESHOLD):
        message = await sent(spine)
        await spine.tell(message, await spine.gate(message), blamed=SMTP, text=f"550 no such user {number}")
    await spine.record_all()

    (row,) = await spine.rows("SELECT last_error FROM breaker")
    (transition,) = await spine.rows("SELECT reason, error FROM breaker_transition")

    error = row["last_error"]
    assert (error["type"], error["message"], error["count"]) == ("OSError", "550 no such user 2", THRESHOLD)
    assert error["task_id"] == message["headers"]["id"]
    assert transition == {"reason": f"{THRESHOLD} failures in a row", "error": error}


async def test_error_of_a_task_is_shown_while_it_is_held_and_while_it_waits_again(spine: Spine) -> None:
    message = await sent(spine)
    await spine.tell(message, await spine.gate(message), blamed=SMTP, text="421 try later")
    await spine.record_all()
    task_id = message["headers"]["id"]
    shown = []
    for state, place in (("retrying", "asleep"), ("queued", "waiting"), ("held", "held"), ("queued", "sent")):
        await spine.run("UPDATE task_live SET state = :state, place = :place", state=state, place=place)
        async with spine.store.statement() as connection:
            found = await reading.task(connection, task_id)
        (listed,) = (await page_of(spine.store, reading.TaskFilter(), 10)).rows
        assert found is not None
        shown += [(row["state"], row["error_type"], row["error_message"]) for row in (found, listed)]
    assert shown == [
        (state, "OSError", "421 try later") for state in ("retrying", "queued", "held", "queued") for _ in "ab"
    ]
    await spine.run("UPDATE task_live SET state = 'running', attempt = 2")
    async with spine.store.statement() as connection:
        running = await reading.task(connection, task_id)
    assert running is not None
    assert running["error_type"] is None, "the attempt under way has not failed"


async def test_what_redis_opened_stays_until_the_recorder_has_passed_it(spine: Spine) -> None:
    for _ in range(THRESHOLD):
        message = await sent(spine)
        await spine.tell(message, await spine.gate(message), blamed=SMTP)
    snapshot = Snapshot(spine.store, spine.server, spine.settings)
    await snapshot.push()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"!1|")


async def test_a_success_between_them_keeps_it_closed(spine: Spine) -> None:
    for blamed in (*[SMTP] * (THRESHOLD - 1), None, *[SMTP] * (THRESHOLD - 1)):
        message = await sent(spine)
        await spine.tell(message, await spine.gate(message), blamed=blamed)
    await spine.record_all()
    assert await breakers(spine) == [("smtp", "closed", 0, THRESHOLD - 1)]


async def test_an_outcome_that_moved_no_row_counts_nowhere(spine: Spine) -> None:
    """It was reported again: its worker could not know that it had been recorded."""
    message = await sent(spine)
    verdict = await spine.gate(message)
    for _ in range(2):
        await spine.tell(message, verdict, blamed=SMTP)
        await spine.record_all()
    assert await breakers(spine) == [("smtp", "closed", 0, 1)]


async def test_a_replayed_batch_counts_once(spine: Spine) -> None:
    frozen = Recorder(spine.store, spine.server, spine.settings)
    message = await sent(spine)
    await spine.tell(message, await spine.gate(message), blamed=SMTP)
    assert await frozen._knows_where()
    _, entries, _ = await frozen._read()
    await spine.record_all()
    with pytest.raises(ExpectedFault, match="moved"):
        await frozen._record(entries)
    assert await breakers(spine) == [("smtp", "closed", 0, 1)]


async def test_past_the_limit_of_breakers_outcomes_are_dropped_and_the_task_goes_on(spine: Spine) -> None:
    for name in ("one", "two", "three"):
        message = await sent(spine)
        await spine.tell(message, await spine.gate(message), blamed=f"task_type:{name}" if name != "three" else SMTP)
        await spine.run("UPDATE breaker SET name = :name WHERE name NOT IN ('one', 'two')", name=name)
        await spine.record_all()
        if name != "three":
            await spine.run(
                "INSERT INTO breaker (scope, name, seen, machine) VALUES ('dependency', :name, 'closed', '{}')"
                " ON CONFLICT DO NOTHING",
                name=name,
            )
    assert sorted(name for name, *_ in await breakers(spine)) == ["one", "two"]
    assert len(await spine.rows("SELECT id FROM task_live WHERE state = 'retrying'")) == 3


async def test_a_task_whose_message_the_gate_held_is_held_and_spent_no_attempt(spine: Spine) -> None:
    waiting = await sent(spine)
    await trip(spine)
    assert await spine.gate(waiting) == [b"held"]
    await spine.record_all()
    (row,) = await spine.rows(
        "SELECT state, place, attempt, held_reason, held_at IS NOT NULL AS since FROM task_live WHERE id = :id",
        id=waiting["headers"]["id"],
    )
    assert row == {"state": "held", "place": "held", "attempt": 0, "held_reason": f"breaker:{SMTP}", "since": True}


async def test_a_held_message_of_an_older_sending_changes_nothing(spine: Spine) -> None:
    waiting = await sent(spine)
    await trip(spine)
    await spine.run("UPDATE task_live SET dispatch = 2 WHERE id = :id", id=waiting["headers"]["id"])
    await spine.gate(waiting)
    await spine.record_all()
    assert await spine.rows("SELECT id FROM task_live WHERE state = 'held'") == []


async def test_an_attempt_that_met_an_open_breaker_is_held_and_not_counted(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    error = {"type": "workers.BreakerOpen", "message": "it is open", "traceback": ""}
    blocked: dict[str, Any] = {"error": error, "permanent": True, "held_by": "dependency:db"}
    await spine.report(message, verdict, "blocked", **blocked)
    await spine.record_all()
    (row,) = await spine.rows(
        "SELECT state, attempt, interruptions, held_reason, dependencies, interrupted_in_a_row FROM task_live"
    )
    assert row == {
        "state": "held",
        "attempt": 1,
        "interruptions": 1,
        "held_reason": "breaker:dependency:db",
        "dependencies": ["smtp", "db"],
        "interrupted_in_a_row": 0,
    }
    assert await spine.rows("SELECT attempt, error_type FROM task_attempt") == [{"attempt": 1, "error_type": "Held"}]
    counters = await spine.counters()
    assert (counters["started"], counters["interrupted"]) == (1, 1)
    await spine.report(message, verdict, "blocked", **blocked)
    await spine.record_all()
    assert await spine.counters() == counters, "reported again"


async def test_an_outcome_that_names_no_breakers_is_recorded(spine: Spine) -> None:
    """Of a worker of the version before."""
    message = await sent(spine)
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_a_breaker_of_no_known_scope_is_passed_over(spine: Spine) -> None:
    message = await sent(spine)
    error = {"type": "E", "message": "", "traceback": ""}
    told: dict[str, Any] = {"breakers": {"planet:mars": 0, "x": None}, "blamed": ["planet:mars"], "error": error}
    await spine.report(message, await spine.gate(message), "failed", **told)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "failed"}]
    assert await breakers(spine) == []


async def test_a_failure_that_a_success_of_the_same_batch_followed_is_told(spine: Spine) -> None:
    for failures in (1, 2):
        for blamed in (SMTP, None):
            message = await sent(spine)
            await spine.tell(message, await spine.gate(message), blamed=blamed)
        await spine.record_all()
        (row,) = await spine.rows("SELECT last_error, (machine ->> 'failures')::int AS in_a_row FROM breaker")
        assert (row["last_error"]["count"], row["in_a_row"]) == (failures, 0)


async def test_a_failure_of_an_older_epoch_changes_nothing(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await Registry(spine.store, spine.settings).change(
        ("dependency", "smtp"), lambda entry, now: entry.breaker.close_by_hand("me", "a test", now)
    )
    await spine.tell(message, verdict, blamed=SMTP)
    await spine.record_all()
    assert await breakers(spine) == [("smtp", "closed", 1, 0)]

import json
from datetime import timedelta
from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.errors import ExpectedFault
from pointsman_service.reconcile.held import HeldSweep
from pointsman_service.record.recorder import Recorder
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.metrics import folding
from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.store import StatementRefused
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def sent(spine: Spine, **changes: Any) -> dict[str, Any]:
    """The message of a new task, taken from its list."""
    await spine.commits.join(new_task(**changes))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    return message


async def test_a_started_task_is_running(spine: Spine) -> None:
    message = await sent(spine)
    await spine.gate(message)
    await spine.record_all()
    (row,) = await spine.rows("SELECT state, attempt, worker, started_at >= due_at AS after FROM task_live")
    assert row == {"state": "running", "attempt": 1, "worker": "w@h", "after": True}
    assert await spine.counters() == {"submitted": 1, "started": 1, "sla_met": 1}


async def test_an_outcome_ends_the_task_and_counts_once(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.report(message, verdict, result='{"x":1}')
    await spine.record_all()
    assert await spine.rows("SELECT id FROM task_live") == []
    (row,) = await spine.rows("SELECT * FROM task")
    assert (row["state"], row["attempt"], row["result"], row["run_seconds"]) == ("succeeded", 1, '{"x":1}', 0.25)
    assert row["sla_met"] is True
    assert 0 <= row["queue_wait_seconds"] < 60
    expected = {"submitted": 1, "started": 1, "executions": 1, "succeeded": 1, "sla_met": 1}
    assert await spine.counters() == expected


async def test_a_start_recorded_before_its_end_counts_once(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    await spine.report(message, verdict)
    await spine.record_all()
    expected = {"submitted": 1, "started": 1, "executions": 1, "succeeded": 1, "sla_met": 1}
    assert await spine.counters() == expected


async def test_an_outcome_reported_twice_counts_once(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    for _ in range(3):
        await spine.report(message, verdict)
        await spine.record_all()
    assert (await spine.counters())["executions"] == 1


async def test_a_failure_keeps_its_attempt_and_error(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    error = {"type": "ValueError", "message": "bad \x00 value", "traceback": "Traceback …"}
    await spine.report(message, verdict, "failed", error=error, timed_out=True)
    await spine.record_all()
    (row,) = await spine.rows("SELECT state, error_type, error_message FROM task")
    assert row == {"state": "failed", "error_type": "ValueError", "error_message": "bad \ufffd value"}
    (attempt,) = await spine.rows("SELECT attempt, error_type, worker FROM task_attempt")
    assert attempt == {"attempt": 1, "error_type": "ValueError", "worker": "w@h"}
    counters = await spine.counters()
    assert (counters["failed"], counters["timed_out"]) == (1, 1)


async def test_a_start_past_the_target_missed_its_sla(spine: Spine) -> None:
    message = await sent(spine, sla_seconds=5.0)
    await spine.run("UPDATE task_live SET due_at = due_at - interval '10 seconds'")
    verdict = await spine.gate(message)
    await spine.report(message, verdict)
    await spine.record_all()
    (row,) = await spine.rows("SELECT sla_met, queue_wait_seconds FROM task")
    assert row["sla_met"] is False
    assert row["queue_wait_seconds"] > 5
    assert (await spine.counters())["sla_missed"] == 1


async def test_a_failure_of_an_older_attempt_is_fenced_and_its_success_is_not(spine: Spine) -> None:
    for kind, ended in (("failed", 0), ("succeeded", 1)):
        message = await sent(spine)
        verdict = await spine.gate(message)
        await spine.record_all()
        await spine.run("UPDATE task_live SET state = 'queued', place = 'waiting', attempt = 2")
        error: dict[str, Any] = {"error": {"type": "E", "message": "", "traceback": ""}} if kind == "failed" else {}
        await spine.report(message, verdict, kind, **error)
        await spine.record_all()
        assert len(await spine.rows("SELECT id FROM task WHERE attempt = 2")) == ended
        await spine.run("DELETE FROM task_live")


@pytest.mark.parametrize("late_first", [True, False])
@pytest.mark.parametrize("second", ["succeeded", "failed", "retried"])
async def test_ends_of_two_attempts_in_one_batch_leave_no_task_behind(
    spine: Spine, second: str, late_first: bool
) -> None:
    message = await sent(spine)
    first = await spine.gate(message, "first")
    await spine.record_all()
    # Its worker is taken for dead, and tells of its success all the same.
    await spine.run("UPDATE task_live SET state = 'queued', place = 'waiting', interruptions = 1, max_attempts = 9")
    claim = keys.claim(message["headers"]["id"])
    await spine.server.command("HSET", claim, "state", "released", "token", "")
    message["headers"]["pointsman"]["after"] = 1
    again = await spine.gate(message, "second")
    assert again[0] == b"run"
    error = {"error": {"type": "E", "message": "", "traceback": ""}}
    more = error if second == "failed" else error | {"retry_in_seconds": 60.0} if second == "retried" else {}
    kind = "succeeded" if second == "succeeded" else "failed"
    if late_first:
        await spine.report(message, first, "succeeded", "first")
    await spine.report(message, again, kind, "second", **more)
    if not late_first:
        await spine.report(message, first, "succeeded", "first")
    await spine.record_all()
    left = await spine.rows("SELECT state, attempt FROM task_live UNION ALL SELECT state, attempt FROM task")
    # A success of the first counts once the second does not run any more.
    expected = "retrying" if second == "retried" and late_first else "failed" if second == "failed" else "succeeded"
    assert left == [{"state": expected, "attempt": 2}]


async def test_a_dropped_message_waits_again_unless_it_was_sent_since(spine: Spine) -> None:
    message = await sent(spine)
    message["headers"]["pointsman"]["epoch"] -= 1
    assert await spine.gate(message) == [b"ask"]
    await spine.record_all()
    assert await spine.rows("SELECT state, place FROM task_live") == [{"state": "queued", "place": "waiting"}]
    await spine.dispatcher.single_pass()
    assert await spine.rows("SELECT place, dispatch FROM task_live") == [{"place": "sent", "dispatch": 2}]
    assert await spine.gate(message) == [b"ask"]
    await spine.record_all()
    assert await spine.rows("SELECT place FROM task_live") == [{"place": "sent"}]


async def test_a_duplicate_is_counted_and_moves_nothing(spine: Spine) -> None:
    message = await sent(spine)
    await spine.gate(message, token="one")
    assert await spine.gate(message, token="two") == [b"duplicate"]
    await spine.record_all()
    assert (await spine.counters())["duplicates"] == 1
    assert await spine.rows("SELECT state, attempt FROM task_live") == [{"state": "running", "attempt": 1}]


async def test_a_task_the_gate_found_expired_ends_expired(spine: Spine) -> None:
    message = await sent(spine)
    message["headers"]["pointsman"]["expires_at"] = 1.0
    assert await spine.gate(message) == [b"expired"]
    await spine.record_all()
    assert await spine.rows("SELECT state, attempt FROM task") == [{"state": "expired", "attempt": 0}]
    assert await spine.counters() == {"submitted": 1, "expired": 1}, "its target had not passed"


async def append(spine: Spine, kind: str, body: str, task: str = "") -> None:
    await spine.server.script("append", [keys.CONTROL], [keys.EVENTS_PREFIX], [kind, task, body])


async def test_an_unknown_type_holds_the_task_until_the_next_sweep(spine: Spine) -> None:
    message = await sent(spine)
    await append(spine, "unknown", spine.body(message), message["headers"]["id"])
    await spine.record_all()
    held = {"state": "held", "place": "held", "held_reason": "unknown_task_type"}
    assert await spine.rows("SELECT state, place, held_reason FROM task_live") == [held]
    await HeldSweep(spine.store, spine.settings).single_pass()
    free = {"state": "queued", "place": "waiting", "held_reason": None}
    assert await spine.rows("SELECT state, place, held_reason FROM task_live") == [free]


async def test_the_task_types_of_a_worker_are_published(spine: Spine) -> None:
    specs = [{"name": "noop", "time_limit_seconds": 1.0}]
    for _ in range(2):
        await append(spine, "catalogue", json.dumps({"worker": "w", "specs": specs}))
    await spine.record_all()
    assert await spine.rows("SELECT name FROM task_type") == [{"name": "noop"}]


async def test_a_start_is_recorded_wherever_the_row_waits(spine: Spine) -> None:
    """Redis stood still, the row was taken back, and then Redis took the message after all."""
    message = await sent(spine)
    await spine.run("UPDATE task_live SET place = 'waiting'")
    verdict = await spine.gate(message)
    await spine.record_all()
    assert await spine.rows("SELECT state, place FROM task_live") == [{"state": "running", "place": "sent"}]
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_a_late_failure_ends_nothing(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.server.command("HSET", keys.claim(message["headers"]["id"]), "token", "another copy")
    error: dict[str, Any] = {"error": {"type": "E", "message": "", "traceback": ""}}
    await spine.report(message, verdict, "failed", **error)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "running"}]


async def test_a_native_run_is_kept_and_counted(spine: Spine) -> None:
    body = {"task_type": "report", "queue": "reports", "worker": "w", "state": "SUCCESS", "run_seconds": 0.5}
    await append(spine, "native", json.dumps(body), "any-id")
    await spine.record_all()
    assert await spine.rows("SELECT task_id, state FROM native_run") == [{"task_id": "any-id", "state": "SUCCESS"}]
    assert await spine.counters() == {"executions": 1, "succeeded": 1, "native": 1}


@pytest.mark.parametrize(("state", "name"), [("SUCCESS", "succeeded"), ("FAILURE", "failed"), ("RETRY", "retried")])
async def test_how_a_native_run_ended_is_counted_apart_before_and_after_folding(
    spine: Spine, state: str, name: str
) -> None:
    body = {"task_type": "report", "queue": "reports", "worker": "w", "state": state, "run_seconds": 0.5}
    await append(spine, "native", json.dumps(body), "any-id")
    await spine.record_all()
    expected = dict.fromkeys(("native_succeeded", "native_failed", "native_retried"), 0) | {f"native_{name}": 1}
    columns = ", ".join(expected)
    assert await spine.rows(f"SELECT {columns} FROM task_metrics_delta") == [expected]
    async with spine.store.transaction() as connection:
        assert (await folding.fold(connection, 10)).deltas == 1
    assert await spine.rows(f"SELECT {columns} FROM task_metrics") == [expected]


async def test_garbage_in_the_stream_is_left_out_and_its_neighbours_are_recorded(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    stream = keys.events(int(verdict[2]))
    garbage: list[tuple[str, ...]] = [
        ("x", "y"),
        ("kind", "succeeded", "task", "not-a-uuid", "attempt", "1", "at", "1", "late", "0", "body", "{}"),
        ("kind", "failed", "task", message["headers"]["id"], "attempt", "1", "at", "1", "late", "0", "body", "{}"),
        ("kind", "native", "task", "n", "attempt", "0", "at", "1e300", "late", "0", "body", "{}"),
        ("kind", "catalogue", "task", "", "attempt", "0", "at", "1", "late", "0", "body", '{"specs":[{}]}'),
        ("kind", "started", "task", message["headers"]["id"], "attempt", "99999", "at", "1", "late", "0", "body", "["),
    ]
    for fields in garbage:
        await spine.server.command("XADD", stream, "*", *fields)
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_an_event_the_database_refuses_is_left_out_and_its_neighbours_are_recorded(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    body = {"task_type": "noop", "queue": "maintenance", "worker": "w", "dispatch": 1}
    too_large = ("kind", "started", "task", message["headers"]["id"], "attempt", "40000", "at", "1", "late", "0")
    stream = keys.events(int(verdict[2]))
    await spine.server.command("XADD", stream, "*", *too_large, "body", json.dumps(body))
    await spine.report(message, verdict)
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_no_event_is_left_out_while_the_schema_lacks_what_it_needs(spine: Spine) -> None:
    message = await sent(spine)
    await spine.report(message, await spine.gate(message))
    await spine.run("ALTER TABLE task RENAME COLUMN held_seconds TO elsewhere")
    with pytest.raises(StatementRefused):
        await spine.recorder.single_pass()
    await spine.run("ALTER TABLE task RENAME COLUMN elsewhere TO held_seconds")
    await spine.record_all()
    assert await spine.rows("SELECT state FROM task") == [{"state": "succeeded"}]


async def test_a_replayed_stream_changes_nothing(spine: Spine) -> None:
    """A recorder that was frozen after reading: its position is behind, its write is refused."""
    frozen = Recorder(spine.store, spine.server, spine.settings)
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.report(message, verdict)
    assert await frozen._knows_where()
    _, entries, _ = await frozen._read()
    await spine.record_all()
    before = await spine.counters()
    with pytest.raises(ExpectedFault, match="moved"):
        await frozen._record(entries)
    assert await spine.counters() == before


async def test_the_position_is_published_and_the_stream_trimmed_behind_it(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    stream = keys.events(int(verdict[2]))
    (position,) = await spine.rows("SELECT stream, last_id FROM recorder_position")
    recorded = await spine.server.command("HGET", keys.CONTROL, "recorded")
    assert position["stream"] == stream
    assert recorded.decode() == f"{int(verdict[2])}/{position['last_id']}"
    assert await spine.server.command("XLEN", stream) == 0


async def test_folding_moves_every_delta_into_the_rollup_and_changes_no_sum(spine: Spine) -> None:
    for _ in range(5):
        message = await sent(spine)
        await spine.report(message, await spine.gate(message))
        await spine.record_all()
    before = await spine.counters()
    rollup = Rollup(spine.store, spine.settings)
    await rollup.single_pass()
    assert await spine.rows("SELECT id FROM task_metrics_delta") == []
    assert await spine.counters() == before
    message = await sent(spine)
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    await rollup.single_pass()
    folded = await spine.rows("SELECT * FROM task_metrics")
    assert sum(row["succeeded"] for row in folded) == 6
    assert sum(sum(row["run_counts"]) for row in folded) == 6
    assert abs(sum(row["run_seconds_sum"] for row in folded) - 1.5) < 1e-6
    assert set(COUNTERS) <= folded[0].keys()


async def test_times_of_the_redis_clock_are_moved_to_the_database_clock(spine: Spine) -> None:
    message = await sent(spine)
    verdict = await spine.gate(message)
    await spine.recorder._compare_clocks()
    spine.recorder._offset_seconds += 3600
    await spine.report(message, verdict)
    await spine.record_all()
    (row,) = await spine.rows("SELECT started_at - submitted_at AS wait FROM task")
    assert timedelta(minutes=59) < row["wait"] < timedelta(minutes=61)

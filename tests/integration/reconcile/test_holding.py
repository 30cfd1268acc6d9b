"""Tasks that a circuit breaker held go on when it lets them."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.callers import LOCAL
from pointsman_service.claims import closing
from pointsman_service.operate.cancel import Canceller
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.held_by_breakers import HoldingSweep
from pointsman_service.settings import Settings
from pointsman_service.store.queues import holding as held_tasks
from pointsman_service.store.queues import pausing
from pointsman_service.store.workers import catalogue
from tests.integration.spine import Spine
from tests.integration.tripped import KEY, LIST, SMTP, THRESHOLD, Holding, trip

RATE = 100.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    policy = settings.circuit_breaker.model_copy(
        update={
            "failure_threshold": THRESHOLD,
            "recovery_jitter": 0.0,
            "half_open_permits": 2,
            "half_open_successes": 2,
            "release_per_second": RATE,
        }
    )
    return settings.model_copy(update={"circuit_breaker": policy})


@pytest.fixture
def holding(spine: Spine) -> Holding:
    return Holding(spine)


async def hold(spine: Spine, holding: Holding, tasks: int = 1, **changes: Any) -> list[str]:
    """Tasks that the dispatcher holds for ``smtp``, whose breaker is open."""
    await holding.open(*KEY)
    found = [await holding.store_waiting(**changes) for _ in range(tasks)]
    await spine.dispatcher.single_pass()
    assert set(found) <= set(await holding.held())
    return found


async def fetched(spine: Spine) -> dict[str, Any]:
    """The next message, of a task that the dispatcher sends now."""
    await spine.dispatcher.single_pass()
    message = await spine.message(LIST)
    assert message is not None
    return message


async def run_probes(spine: Spine, holding: Holding) -> list[str]:
    """Send the probes there are and let each succeed; their tasks."""
    await holding.sweep.single_pass()
    await spine.dispatcher.single_pass()
    ran = []
    while message := await spine.message(LIST):
        verdict = await spine.gate(message)
        assert verdict[0] == b"run"
        await spine.tell(message, verdict)
        ran.append(message["headers"]["id"])
    await spine.record_all()
    return ran


async def test_an_open_breaker_lets_nothing_go(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding, 3)
    await holding.sweep.single_pass()
    assert await holding.held() == held


async def test_a_half_open_breaker_sends_as_many_probes_as_it_has_permits(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding, 5)
    await holding.half_open(*KEY)
    for _ in range(3):
        await holding.sweep.single_pass()
        await spine.dispatcher.single_pass()
    assert await holding.held() == held[2:], "the oldest go first"
    probes = [await spine.message(LIST), await spine.message(LIST)]
    assert [message and message["headers"]["id"] for message in probes] == held[:2]
    assert await spine.message(LIST) is None
    for message in probes:
        assert message is not None
        assert (await spine.gate(message))[0] == b"run"


async def test_the_most_urgent_is_the_first_probe(spine: Spine, holding: Holding) -> None:
    await hold(spine, holding, 3)
    (urgent,) = await hold(spine, holding, 1, priority=9)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    assert urgent in await holding.waiting()


async def test_probes_that_succeed_close_the_breaker_and_the_rest_follows(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding, 5)
    await holding.half_open(*KEY)
    assert await run_probes(spine, holding) == held[:2]
    assert (await spine.rows("SELECT seen, epoch FROM breaker")) == [{"seen": "closed", "epoch": 3}]

    async with asyncio.timeout(10):
        while await holding.held():
            await holding.sweep.single_pass()
    assert await holding.waiting() == held[2:]
    (row,) = await spine.rows("SELECT DISTINCT attempt, dispatch, held_reason, held_at FROM task_live")
    assert row == {"attempt": 0, "dispatch": 0, "held_reason": None, "held_at": None}


async def test_a_probe_that_fails_opens_the_breaker_and_its_task_is_held_with_the_others(
    spine: Spine, holding: Holding
) -> None:
    held = await hold(spine, holding, 3)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    message = await fetched(spine)
    await spine.tell(message, await spine.gate(message), blamed=SMTP)
    second = await spine.message(LIST)
    assert second is not None
    assert await spine.gate(second) == [b"held"], "its permit went with the first failure"
    await spine.record_all()
    (row,) = await spine.rows("SELECT seen, (machine ->> 'trips')::int AS trips FROM breaker")
    assert row == {"seen": "open", "trips": 2}
    await spine.run("UPDATE task_live SET place = 'waiting', state = 'queued' WHERE state = 'retrying'")
    await spine.dispatcher.single_pass()
    assert await holding.held() == held


async def test_redis_knows_a_permit_before_the_probe_is_sent(spine: Spine, holding: Holding) -> None:
    (task,) = await hold(spine, holding)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    entry = await spine.server.command("HGET", keys.BREAKERS, SMTP)
    assert entry.startswith(b"?2|")
    assert task.encode() in entry
    assert await holding.waiting() == [task]


async def test_a_probe_comes_from_what_is_submitted_when_nothing_is_held(spine: Spine, holding: Holding) -> None:
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    task = await holding.store_waiting()
    assert await run_probes(spine, holding) == []
    assert await holding.held() == [task]
    assert await run_probes(spine, holding) == [task]


async def test_a_permit_that_ran_out_is_leased_to_the_next(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding, 3)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    await spine.run(
        "UPDATE task_live SET cancel_requested_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))", ids=held[:2]
    )
    await spine.run(
        "UPDATE breaker SET machine = jsonb_set(machine, '{permits}', (SELECT jsonb_object_agg(key, 1)"
        " FROM jsonb_each(machine -> 'permits')))"
    )
    await holding.sweep.single_pass()
    assert held[2] in await holding.waiting()


async def test_a_permit_lasts_while_its_task_runs(spine: Spine, holding: Holding) -> None:
    (task,) = await hold(spine, holding)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    message = await fetched(spine)
    verdict = await spine.gate(message)
    await spine.record_all()
    await spine.run(
        "UPDATE breaker SET machine = jsonb_set(machine, '{permits}', (SELECT jsonb_object_agg(key, extract(epoch FROM"
        " now()) + 5) FROM jsonb_each(machine -> 'permits')))"
    )
    await holding.sweep.single_pass()
    entry = await holding.registry.find(KEY)
    assert entry is not None
    (row,) = await spine.rows(
        "SELECT (machine -> 'permits' ->> :task)::float8 - extract(epoch FROM now())::float8 AS left FROM breaker",
        task=task,
    )
    assert row["left"] > entry.policy.permit_seconds / 2
    await spine.tell(message, verdict)
    await spine.record_all()
    assert (await spine.rows("SELECT (machine ->> 'successes')::int AS successes FROM breaker")) == [{"successes": 1}]


async def test_a_permit_whose_task_does_not_run_is_not_renewed(spine: Spine, holding: Holding) -> None:
    await hold(spine, holding)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    await spine.run(
        "UPDATE breaker SET machine = jsonb_set(machine, '{permits}', (SELECT jsonb_object_agg(key, extract(epoch FROM"
        " now()) + 5) FROM jsonb_each(machine -> 'permits')))"
    )
    await holding.sweep.single_pass()
    (row,) = await spine.rows(
        "SELECT max(p.value::float8) - extract(epoch FROM now())::float8 AS left"
        " FROM breaker, jsonb_each_text(machine -> 'permits') AS p"
    )
    assert row["left"] <= 5


async def test_tasks_are_let_go_at_a_ramp(spine: Spine, holding: Holding) -> None:
    await hold(spine, holding, 3)
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, args, kwargs, dependencies, held_reason, held_at) SELECT gen_random_uuid(), 'held', 'held', 'noop',"
        " 'maintenance', 3, 300, 300, now(), 'local', '[]', '{}', '{smtp}', :reason, now()"
        " FROM generate_series(1, 2000)",
        reason=f"breaker:{SMTP}",
    )
    await holding.close(*KEY)
    began = asyncio.get_running_loop().time()
    await holding.sweep.single_pass()
    seconds = asyncio.get_running_loop().time() - began
    assert 1 <= len(await holding.waiting()) <= 1 + RATE * seconds
    for _ in range(3):
        await holding.sweep.single_pass()
    seconds = asyncio.get_running_loop().time() - began
    assert len(await holding.waiting()) <= 1 + RATE * seconds


async def test_a_task_in_quarantine_goes_back_to_it(spine: Spine, holding: Holding) -> None:
    (task,) = await hold(spine, holding)
    await spine.run("UPDATE task_live SET interrupted_in_a_row = 5")
    await holding.close(*KEY)
    await holding.sweep.single_pass()
    assert await holding.held("quarantine") == [task]


async def test_a_late_hold_of_a_closed_breaker_is_let_go(spine: Spine, holding: Holding) -> None:
    await trip(spine)
    await holding.sweep.single_pass()
    task = await holding.store_waiting()
    await spine.run("UPDATE task_live SET place = 'sent', dispatch = 1 WHERE id = :id", id=task)
    await holding.close(*KEY)
    body = {"task_type": "noop", "queue": "maintenance", "worker": "w", "dispatch": 1}
    epoch = int(await spine.server.command("HGET", keys.CONTROL, "epoch"))
    fields = ("kind", "held", "task", task, "attempt", "0", "at", str(time.time()), "late", "0", "breaker", SMTP)
    await spine.server.command("XADD", keys.events(epoch), "*", *fields, "body", json.dumps(body))
    await spine.record_all()
    assert await holding.held() == [task]
    await holding.sweep.single_pass()
    assert await holding.waiting() == [task]


@pytest.mark.parametrize("how", ["disabled", "forgotten"])
async def test_tasks_of_a_breaker_that_is_disabled_or_forgotten_are_let_go(
    spine: Spine, holding: Holding, how: str
) -> None:
    held = await hold(spine, holding)
    if how == "disabled":
        await holding.force(*KEY, BreakerState.DISABLED)
    else:
        await spine.run("DELETE FROM breaker")
    await holding.sweep.single_pass()
    assert await holding.waiting() == held


async def test_a_task_of_two_open_breakers_waits_for_both(spine: Spine, holding: Holding) -> None:
    await holding.open("task_type", "noop")
    (task,) = await hold(spine, holding)
    assert await holding.held(f"breaker:{SMTP}") == [task]
    await holding.close(*KEY)
    await holding.sweep.single_pass()
    assert await holding.held("breaker:task_type:noop") == [task]
    await holding.close("task_type", "noop")
    await holding.sweep.single_pass()
    assert await holding.waiting() == [task]


async def test_no_permit_is_leased_to_a_task_that_another_breaker_holds_too(spine: Spine, holding: Holding) -> None:
    await holding.open("dependency", "a")
    await holding.open("task_type", "noop")
    (task,) = await hold(spine, holding)
    (other,) = await hold(spine, holding, task_type="echo")
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    assert (await holding.waiting(), await holding.held()) == ([other], [task])


async def test_a_probe_is_found_behind_any_number_that_another_breaker_holds_too(
    spine: Spine, holding: Holding
) -> None:
    await hold(spine, holding)
    await holding.force("task_type", "echo", BreakerState.FORCED_OPEN)
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, args, kwargs, dependencies, held_reason, held_at) SELECT gen_random_uuid(), 'held', 'held', 'echo',"
        " 'maintenance', 9, 300, 300, now(), 'local', '[]', '{}', '{smtp}', :reason, now()"
        " FROM generate_series(1, 1001)",
        reason=f"breaker:{SMTP}",
    )
    await holding.half_open(*KEY)
    for _ in range(2):
        await holding.sweep.single_pass()
    assert len(await holding.waiting()) == 1
    assert len(await holding.held("breaker:task_type:echo")) == 1001
    await holding.close(*KEY)
    await holding.sweep.single_pass()
    assert len(await holding.held("breaker:task_type:echo")) == 1001


async def test_no_permit_is_leased_to_a_task_of_a_paused_queue(spine: Spine, holding: Holding) -> None:
    await hold(spine, holding, 2, priority=9)
    (other,) = await hold(spine, holding, queue="reports", priority=2)
    async with spine.store.statement() as connection:
        await pausing.set_paused(connection, "maintenance", paused=True, reason="a test", actor="me")
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    assert await holding.waiting() == [other]


@pytest.mark.parametrize("is_alive", [True, False])
async def test_no_permit_is_leased_to_a_task_of_a_queue_that_no_living_worker_serves(
    spine: Spine, holding: Holding, is_alive: bool
) -> None:
    urgent = await hold(spine, holding, 2, priority=9)
    (other,) = await hold(spine, holding, queue="reports", priority=2)
    await spine.run(
        "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
        " VALUES ('one', 'one', 'bulk', '{reports}', 1, 1, 'here', 1, now(), now() - :seconds * interval '1 second')",
        seconds=0 if is_alive else 60,
    )
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    # Who lives is not known while nobody was seen: then all queues are taken as served.
    assert await holding.waiting() == ([other] if is_alive else urgent)


async def test_a_task_of_two_half_open_breakers_gets_a_permit_of_each(spine: Spine, holding: Holding) -> None:
    await holding.open("task_type", "noop")
    (task,) = await hold(spine, holding)
    await holding.half_open(*KEY)
    await holding.half_open("task_type", "noop")
    for _ in range(2):
        await holding.sweep.single_pass()
        await spine.dispatcher.single_pass()
    message = await spine.message(LIST)
    assert message is not None
    assert message["headers"]["id"] == task
    assert (await spine.gate(message))[0] == b"run"


async def test_the_time_a_task_was_held_counts_into_no_queue_wait(spine: Spine, holding: Holding) -> None:
    (task,) = await hold(spine, holding, sla_seconds=60.0)
    await spine.run(
        "UPDATE task_live SET due_at = due_at - interval '100 seconds', held_at = held_at - interval '95 seconds'"
    )
    await holding.close(*KEY)
    await holding.sweep.single_pass()
    message = await fetched(spine)
    assert message["headers"]["id"] == task
    await spine.tell(message, await spine.gate(message))
    await spine.record_all()
    (row,) = await spine.rows("SELECT queue_wait_seconds, held_seconds, sla_met FROM task")
    assert 4 < row["queue_wait_seconds"] < 30
    assert 90 < row["held_seconds"] < 120
    assert row["sla_met"] is True


async def test_a_held_task_expires(spine: Spine, holding: Holding) -> None:
    (task,) = await hold(spine, holding)
    await spine.run("UPDATE task_live SET expires_at = now()")
    await ExpiredSweep(spine.store, spine.server, spine.settings).single_pass()
    (row,) = await spine.rows("SELECT id, state, attempt, held_seconds > 0 AS held FROM task")
    assert (str(row["id"]), row["state"], row["attempt"], row["held"]) == (task, "expired", 0, True)


@pytest.mark.parametrize("was_sent", [False, True])
async def test_a_held_task_is_cancelled(spine: Spine, holding: Holding, was_sent: bool) -> None:
    (task,) = await hold(spine, holding)
    await spine.run("UPDATE task_live SET dispatch = :dispatch", dispatch=int(was_sent))
    done = await Canceller(spine.store, spine.server).cancel(LOCAL, task, 0.0)  # type: ignore[arg-type]  # text is a UUID here
    assert done.row["state"] == "cancelled"


async def publish(spine: Spine, *, fail_fast: bool) -> None:
    spec = TaskTypeSpec(name="noop", time_limit_seconds=300, fail_fast=fail_fast)
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "worker-1", [spec])


@pytest.mark.parametrize("was_sent", [False, True])
async def test_a_task_type_that_fails_fast_is_not_held(spine: Spine, holding: Holding, was_sent: bool) -> None:
    await publish(spine, fail_fast=True)
    (task,) = await hold(spine, holding)
    await spine.run("UPDATE task_live SET dispatch = :dispatch", dispatch=int(was_sent))
    await holding.sweep.single_pass()
    (row,) = await spine.rows("SELECT id, state, attempt, error_type, error_message FROM task")
    assert (str(row["id"]), row["state"], row["attempt"], row["error_type"]) == (task, "failed", 0, "BreakerOpen")
    assert SMTP in row["error_message"]
    assert (await spine.counters())["failed"] == 1


async def test_one_that_was_to_fail_fast_runs_when_its_breaker_closes_before_the_recorder_got_there(
    spine: Spine, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_TAIL_SECONDS", 0.05)
    await publish(spine, fail_fast=True)
    await hold(spine, holding)
    await spine.run("UPDATE task_live SET dispatch = 1")
    await spine.append("progress", str(uuid4()), attempt=1)
    await holding.sweep.single_pass()
    assert await spine.rows("SELECT state FROM task_live") == [{"state": "held"}]
    await holding.close(*KEY)
    await holding.sweep.single_pass()
    await spine.dispatcher.single_pass()
    message = await spine.message(LIST)
    assert message is not None
    assert (await spine.gate(message))[0] == b"run"


async def test_a_type_that_fails_fast_still_has_probes(spine: Spine, holding: Holding) -> None:
    await publish(spine, fail_fast=True)
    held = await hold(spine, holding, 3)
    await holding.half_open(*KEY)
    assert await run_probes(spine, holding) == held[:2]
    assert [str(row["id"]) for row in await spine.rows("SELECT id FROM task WHERE state = 'failed'")] == held[2:]


async def test_held_tasks_of_other_types_are_not_looked_at_for_those_that_fail_fast(
    spine: Spine, holding: Holding
) -> None:
    await hold(spine, holding)
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, args, kwargs, dependencies, held_reason, held_at) SELECT gen_random_uuid(), 'held', 'held', 'noop',"
        " 'maintenance', 3, 300, 300, now(), 'local', '[]', '{}', '{smtp}', :reason, now()"
        " FROM generate_series(1, 5000)",
        reason=f"breaker:{SMTP}",
    )
    await spine.run("ANALYZE task_live")
    async with spine.store.statement() as connection:
        statement = text(f"EXPLAIN {held_tasks._FAIL_FAST}")
        parameters = {"reason": f"breaker:{SMTP}", "task_types": ["fast"], "spared": [], "most": 500}
        plan = "\n".join((await connection.execute(statement, parameters)).scalars())
    assert "Index Scan using ix_task_live_held_type" in plan, plan


async def test_only_one_of_two_processes_lets_tasks_go(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding, 5)
    await holding.half_open(*KEY)
    other = HoldingSweep(spine.store, spine.server, spine.settings)
    await asyncio.gather(*(sweep.single_pass() for sweep in (holding.sweep, other) for _ in range(3)))
    assert len(await holding.waiting()) == 2
    assert len(await holding.held()) == len(held) - 2


async def test_a_frozen_leader_brings_no_old_news_to_redis(spine: Spine, holding: Holding) -> None:
    snapshot = Snapshot(spine.store, spine.server, spine.settings)
    await snapshot.push()
    frozen = Snapshot(spine.store, spine.server, spine.settings)
    pipeline = spine.server.pipeline

    async def then_it_opens(commands: Any) -> Any:
        found = await pipeline(commands)
        spine.server.pipeline = pipeline  # type: ignore[method-assign]  # once
        # Between its look at Redis and its look at Postgres nothing has opened; both happen while it is frozen.
        await holding.open(*KEY)
        await snapshot.push()
        await holding.close(*KEY)
        return found

    spine.server.pipeline = then_it_opens  # type: ignore[method-assign]  # to come between
    await frozen.push()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"!1|")
    await frozen.push()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"-2|")


async def test_the_snapshot_is_there_before_the_gate_opens_on_an_empty_redis(spine: Spine, holding: Holding) -> None:
    await trip(spine)
    await spine.server.command("FLUSHALL")
    await spine.open_epoch()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"!1|")
    assert await spine.server.command("HEXISTS", keys.BREAKERS, "default") == 1


async def test_a_snapshot_that_is_gone_comes_back(spine: Spine, holding: Holding) -> None:
    await trip(spine)
    await spine.server.command("DEL", keys.BREAKERS)
    await holding.sweep.single_pass()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"!1|")


async def test_an_entry_that_is_none_is_replaced(spine: Spine, holding: Holding) -> None:
    await spine.server.command(
        "HSET", keys.BREAKERS, SMTP, "garbage", "dependency:x", "!|{", "dependency:y", "!1|[]", "default", ""
    )
    await holding.sweep.single_pass()
    assert await spine.server.command("HKEYS", keys.BREAKERS) == [b"default"]


async def test_what_other_services_report_closes_a_breaker_for_tasks_too(spine: Spine, holding: Holding) -> None:
    held = await hold(spine, holding)
    await holding.half_open(*KEY)
    for permit in ("one", "two"):
        _, granted = await holding.registry.lease(KEY, permit)
        assert granted
        await holding.registry.record(KEY, [Outcome(Kind.SUCCESS, permit=permit)])
    await holding.sweep.single_pass()
    assert await holding.waiting() == held


async def test_held_seconds_of_two_holds_add_up(spine: Spine, holding: Holding) -> None:
    await hold(spine, holding)
    for _ in range(2):
        await spine.run("UPDATE task_live SET held_at = held_at - interval '50 seconds'")
        await holding.close(*KEY)
        await holding.sweep.single_pass()
        await holding.open(*KEY)
        await spine.dispatcher.single_pass()
        # It sees the breaker open, so that the next ramp starts anew.
        await holding.sweep.single_pass()
    (row,) = await spine.rows("SELECT held_seconds FROM task_live")
    assert timedelta(seconds=row["held_seconds"]) >= timedelta(seconds=100)

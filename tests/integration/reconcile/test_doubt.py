"""A task type in doubt: others than those that failed are tried, and go on when only some inputs are bad."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from pointsman_contract import keys
from pointsman_contract.breaker_entry import BLOCKS
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.breaker.view import BreakerView
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.settings import Settings
from pointsman_service.store.alerts import facts
from pointsman_service.store.queues import holding as holding_statements
from pointsman_service.store.queues import probing
from tests.integration.spine import Spine, new_task
from tests.integration.tripped import LIST, THRESHOLD, Holding

RUN = 2 * THRESHOLD - 1
TYPE = "task_type:noop"
KEY = ("task_type", "noop")
BAD, GOOD = json.dumps({"tenant": "a"}), json.dumps({"tenant": "b"})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    policy = settings.circuit_breaker.model_copy(
        update={"failure_threshold": THRESHOLD, "recovery_jitter": 0.0, "half_open_permits": 2, "release_per_second": 1}
    )
    return settings.model_copy(update={"circuit_breaker": policy})


@pytest.fixture
async def holding(spine: Spine) -> Holding:
    """Redis knows the policy."""
    await Snapshot(spine.store, spine.server, spine.settings).push()
    return Holding(spine)


async def send(spine: Spine, tasks: int, tags: str | None = BAD) -> list[dict[str, Any]]:
    """The messages of so many new tasks."""
    await spine.window.refresh()
    for _ in range(tasks):
        await spine.commits.join(new_task(max_attempts=10, tags=tags))
    await spine.commits.drain()
    await spine.dispatcher.single_pass()
    return await fetched(spine)


async def fetched(spine: Spine) -> list[dict[str, Any]]:
    found = []
    while message := await spine.message(LIST):
        found.append(message)
    return found


async def end(spine: Spine, messages: list[dict[str, Any]], *, well: bool) -> None:
    """Run them, and record what came of it."""
    for message in messages:
        verdict = await spine.gate(message)
        assert verdict[0] == b"run", verdict
        await spine.tell(message, verdict, blamed=None if well else TYPE)
    await spine.record_all()


async def store(spine: Spine, tasks: int, tags: str | None) -> list[str]:
    """So many tasks that the dispatcher holds."""
    spine.window.shut()
    found = [new_task(max_attempts=10, tags=tags) for _ in range(tasks)]
    for task in found:
        await spine.commits.join(task)
    await spine.commits.drain()
    await spine.dispatcher.single_pass()
    return [task.id for task in found]


async def doubt(spine: Spine) -> None:
    await end(spine, await send(spine, RUN), well=False)


async def open_it(spine: Spine, holding: Holding) -> None:
    """Also those that were tried have failed; nothing is on its way."""
    await doubt(spine)
    await store(spine, 2, BAD)
    await end(spine, await probes(spine, holding), well=False)
    assert await state(holding) is BreakerState.OPEN


async def probes(spine: Spine, holding: Holding) -> list[dict[str, Any]]:
    """The messages of the probes that are sent now."""
    await holding.sweep.single_pass()
    await spine.dispatcher.single_pass()
    return await fetched(spine)


async def state(holding: Holding) -> BreakerState:
    found = await holding.registry.find(KEY)
    assert found is not None
    return found.breaker.seen


def of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["headers"]["id"] for message in messages]


async def test_a_run_of_tasks_stops_the_type_at_once_and_is_no_alert_yet(spine: Spine, holding: Holding) -> None:
    late = await send(spine, RUN + 1)
    for message in late[:RUN]:
        await spine.tell(message, await spine.gate(message), blamed=TYPE)
    entry = (await spine.server.command("HGET", keys.BREAKERS, TYPE)).decode()
    assert entry.startswith(BLOCKS)
    assert (await spine.gate(late[RUN]))[0] == b"held"
    await spine.record_all()
    assert await state(holding) is BreakerState.HALF_OPEN
    assert await holding.held() == [late[RUN]["headers"]["id"]]
    async with spine.store.statement() as connection:
        assert await facts.tripped(connection) == []
    await spine.run("UPDATE breaker SET updated_at = now() - interval '11 seconds'")
    async with spine.store.statement() as connection:
        assert [one.name for one in await facts.tripped(connection)] == ["noop"]


async def test_those_unlike_the_failed_ones_are_tried_first(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    await store(spine, 5, BAD)
    (good,) = await store(spine, 1, GOOD)
    sent = of(await probes(spine, holding))
    assert len(sent) == 2
    assert good in sent


async def test_one_of_each_caller_and_tags_is_tried_before_a_second(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    first, _, _ = await store(spine, 3, GOOD)
    (other,) = await store(spine, 1, json.dumps({"tenant": "c"}))
    assert set(of(await probes(spine, holding))) == {first, other}


async def test_a_good_task_amid_very_many_bad_ones_is_found(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    (before,) = await store(spine, 1, BAD)
    (good,) = await store(spine, 1, GOOD)
    (after,) = await store(spine, 1, BAD)
    await spine.run("DELETE FROM task_live WHERE place <> 'held'")
    (columns,) = await spine.rows(
        "SELECT string_agg(quote_ident(column_name), ', ') AS others FROM information_schema.columns"
        " WHERE table_name = 'task_live' AND column_name NOT IN ('id', 'due_at')"
    )
    for task, apart in ((before, -1), (after, 1)):
        await spine.run(
            f"INSERT INTO task_live (id, due_at, {columns['others']})"
            f" SELECT gen_random_uuid(), due_at + :apart * n * interval '1 second', {columns['others']}"
            " FROM task_live, generate_series(1, 3000) AS n WHERE id = :id",
            id=task,
            apart=apart,
        )
    await spine.run("ANALYZE task_live")
    for statement in (probing._PROBES, holding_statements._PROBES):
        names = dict.fromkeys(statement.compile().params)
        given = {
            "have": [],
            "dead_seconds": 30.0,
            "any_may": False,
            "only_others": True,
            "most": 2,
            "accused": [before],
        }
        given |= {"reason": f"breaker:{TYPE}", "scope": KEY[0], "name": KEY[1], "low": before, "high": before}
        async with spine.store.statement() as connection:
            plan = await connection.execute(text(f"EXPLAIN {statement.text}"), {name: given[name] for name in names})
            assert "Seq Scan on task_live" not in "\n".join(plan.scalars())
    wanted = probing.Wanted([before], any_may=False, only_others=True)
    found = []
    for _ in range(200):
        async with spine.store.statement() as connection:
            found = await probing.choose_probes(connection, KEY, 2, [], 30.0, wanted)
        if found:
            break
    assert found == [good]


async def test_what_has_failed_is_not_tried_in_a_doubt(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    await spine.run("UPDATE task_live SET due_at = now(), place = 'waiting', state = 'queued'")
    await spine.dispatcher.single_pass()
    assert len(await holding.held(f"breaker:{TYPE}")) == RUN
    assert await probes(spine, holding) == []
    (fresh,) = await store(spine, 1, BAD)
    assert of(await probes(spine, holding)) == [fresh]


async def test_others_are_tried_in_the_place_of_probes_that_end_or_wait_for_something_else(
    spine: Spine, holding: Holding
) -> None:
    await doubt(spine)
    await store(spine, 8, GOOD)
    first = of(await probes(spine, holding))
    assert of(await probes(spine, holding)) == [], "both are on their way"
    await spine.run("UPDATE task_live SET cancel_requested_at = now() WHERE id = ANY(:ids)", ids=first)
    async with spine.recording():
        await CancelledSweep(spine.store, spine.server, spine.settings).single_pass()
    assert len(await spine.rows("SELECT id FROM task")) == 2
    second = of(await probes(spine, holding))
    await spine.run("UPDATE task_live SET cancel_requested_at = now() WHERE id = ANY(:ids)", ids=second)
    third = of(await probes(spine, holding))
    await spine.run("UPDATE task_live SET place = 'asleep', state = 'scheduled' WHERE id = ANY(:ids)", ids=third[:1])
    await spine.run(
        "UPDATE task_live SET place = 'held', state = 'held', held_at = now(), held_reason = 'breaker:dependency:smtp'"
        " WHERE id = ANY(:ids)",
        ids=third[1:],
    )
    last = await probes(spine, holding)
    assert [len(found) for found in (first, second, third, last)] == [2, 2, 2, 2]
    await end(spine, last[:1], well=True)
    assert await state(holding) is BreakerState.CLOSED


async def test_when_some_inputs_are_bad_all_unlike_them_go_on_at_once(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    bad = await store(spine, 30, BAD)
    good = await store(spine, 30, GOOD)
    await end(spine, await probes(spine, holding), well=True)
    assert await state(holding) is BreakerState.CLOSED
    await holding.sweep.single_pass()
    held = await holding.held()
    assert not set(held) & set(good)
    assert len(set(held) & set(bad)) >= len(bad) - 3, "what is like them goes on at a ramp"


async def test_inputs_that_are_known_to_be_bad_make_nobody_wait_again(spine: Spine, holding: Holding) -> None:
    await doubt(spine)
    await store(spine, 1, GOOD)
    await end(spine, await probes(spine, holding), well=True)
    await holding.sweep.single_pass()
    for run in (4 * THRESHOLD - 1, 8 * THRESHOLD - 1):
        await end(spine, await send(spine, run), well=False)
        assert await state(holding) is BreakerState.HALF_OPEN
        held = await store(spine, 1, BAD)
        await holding.sweep.single_pass()
        assert await state(holding) is BreakerState.CLOSED
        assert (await spine.server.command("HGET", keys.BREAKERS, TYPE)).startswith(b"-")
        assert not set(held) & set(await holding.held()), "it goes on at the ramp"
        assert await fetched(spine) == []
        await spine.dispatcher.single_pass()
        await end(spine, await fetched(spine), well=True)
    mixed = [*await send(spine, 16 * THRESHOLD - 2), *await send(spine, 1, GOOD)]
    await end(spine, mixed, well=False)
    await store(spine, 1, BAD)
    await holding.sweep.single_pass()
    assert await state(holding) is BreakerState.HALF_OPEN, "another's failed as well"


async def test_what_nothing_tells_from_a_good_task_is_not_known_to_be_bad(spine: Spine, holding: Holding) -> None:
    await end(spine, await send(spine, RUN, None), well=False)
    await store(spine, 1, None)
    await end(spine, await probes(spine, holding), well=True)
    await holding.sweep.single_pass()
    await end(spine, await send(spine, 4 * THRESHOLD - 1, None), well=False)
    await store(spine, 1, None)
    await holding.sweep.single_pass()
    assert await state(holding) is BreakerState.HALF_OPEN


async def test_tasks_that_nothing_tells_apart_go_on_at_the_ramp(spine: Spine, holding: Holding) -> None:
    await end(spine, await send(spine, RUN, None), well=False)
    stored = await store(spine, 30, None)
    await end(spine, await probes(spine, holding), well=True)
    await holding.sweep.single_pass()
    assert len(await holding.held()) >= len(stored) - 5


async def test_while_it_is_open_what_has_not_failed_is_tried_at_once(spine: Spine, holding: Holding) -> None:
    await open_it(spine, holding)
    (good,) = await store(spine, 1, GOOD)
    messages = await probes(spine, holding)
    assert of(messages) == [good]
    await end(spine, messages, well=True)
    assert await state(holding) is BreakerState.CLOSED


async def test_while_it_is_open_few_that_are_like_the_failed_ones_are_tried(spine: Spine, holding: Holding) -> None:
    await open_it(spine, holding)
    tried = 0
    for _ in range(10):
        await store(spine, 1, BAD)
        messages = await probes(spine, holding)
        tried += len(messages)
        await end(spine, messages, well=False)
    assert tried <= THRESHOLD
    assert await state(holding) is BreakerState.OPEN
    (good,) = await store(spine, 1, GOOD)
    assert of(await probes(spine, holding)) == [good]


async def test_a_worker_that_is_started_is_tried_at_once_with_whatever_is_held(spine: Spine, holding: Holding) -> None:
    await open_it(spine, holding)
    await spine.run("UPDATE task_live SET due_at = now(), place = 'waiting', state = 'queued' WHERE place <> 'held'")
    await spine.dispatcher.single_pass()
    assert await probes(spine, holding) == []
    spec = TaskTypeSpec(name="noop", time_limit_seconds=30).model_dump(mode="json")
    for _ in range(2):
        await spine.append("catalogue", "", worker="w@new#1", specs=[spec])
        await spine.record_all()
    assert await state(holding) is BreakerState.HALF_OPEN
    rows = await spine.rows("SELECT reason FROM breaker_transition ORDER BY id DESC LIMIT 1")
    assert rows == [{"reason": "a worker was started that offers it"}]
    assert len(await probes(spine, holding)) == 2


async def test_fail_fast_waits_until_there_is_more_than_a_doubt(spine: Spine, holding: Holding) -> None:
    spec = TaskTypeSpec(name="noop", time_limit_seconds=30, fail_fast=True).model_dump(mode="json")
    await spine.append("catalogue", "", worker="w@h#1", specs=[spec])
    await doubt(spine)
    await store(spine, 5, BAD)
    messages = await probes(spine, holding)
    assert await spine.rows("SELECT state FROM task") == []
    await end(spine, messages, well=False)
    await holding.sweep.single_pass()
    assert await spine.rows("SELECT state, error_type FROM task") == [{"state": "failed", "error_type": "BreakerOpen"}]


async def test_a_doubt_refuses_nobody_who_would_rather_be_told(spine: Spine, holding: Holding) -> None:
    view = BreakerView(spine.store, spine.settings)
    await doubt(spine)
    await store(spine, 2, BAD)
    await view.single_pass()
    assert view.of_task("noop", ()) is not None, "what comes is held"
    assert view.refuses("noop", ()) is None
    await end(spine, await probes(spine, holding), well=False)
    await view.single_pass()
    assert view.refuses("noop", ()) is not None


async def test_row_of_the_release_before_is_read(spine: Spine, holding: Holding) -> None:
    """It wrote what a breaker of a dependency has; that of a task type now has more."""
    await holding.open("dependency", "old")
    await spine.run("UPDATE breaker SET scope = 'task_type', name = 'noop'")
    assert await state(holding) is BreakerState.OPEN
    (task,) = await store(spine, 1, GOOD)
    assert of(await probes(spine, holding)) == [task]

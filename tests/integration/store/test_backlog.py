"""What is kept of the backlog is what there is, and is read without a look at what waits."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from pointsman_service.observe.backlog import Backlog
from pointsman_service.observe.backlog import read as read_backlogs
from pointsman_service.record.backlog import BacklogMending, BacklogRollup
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.queues import backlog
from pointsman_service.store.store import Store
from tests.integration.spine import Spine, new_task

_BY_HAND = """
    INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at, caller,
        args, kwargs)
    SELECT gen_random_uuid(), 'queued', 'waiting', 'noop', 'reports', n % 11, 60, 300,
        now() - n * interval '1 millisecond', 'local', '[]', '{}' FROM generate_series(1, :tasks) AS n
"""


async def of(spine: Spine, queue: str) -> Backlog:
    return (await read_backlogs(spine.store, spine.queues))[queue]


async def wrong(store: Store) -> list[backlog.Mended]:
    async with store.transaction() as connection:
        return await backlog.mend(connection)


async def test_numbers_are_the_same_before_and_after_folding_and_nothing_is_left_of_what_has_ended(
    spine: Spine,
) -> None:
    waits = {"queue": "reports"}
    await spine.commits.write_batch([new_task(**waits, **change) for change in [{}, {}, {"delay_seconds": 60.0}]])
    await spine.run("UPDATE task_live SET place = 'waiting' WHERE state = 'queued'")
    before = await of(spine, "reports")
    assert (before.depth, before.waiting, before.on_broker) == (2, 2, 0)
    assert before.by_state == {"queued": 2, "scheduled": 1}
    rollups: list[Rollup | BacklogRollup] = [
        Rollup(spine.store, spine.settings),
        BacklogRollup(spine.store, spine.settings),
    ]
    for rollup in rollups:
        assert await rollup.single_pass() is False
    after = await of(spine, "reports")
    assert (after.by_state, after.waiting) == (before.by_state, before.waiting)
    assert await spine.rows("SELECT queue FROM backlog_delta") == []

    await spine.run("UPDATE task_live SET due_at = now() WHERE state = 'scheduled'")
    for _ in range(3):
        await spine.dispatcher.single_pass()
    await spine.run("UPDATE task_live SET state = 'held', place = 'held', held_reason = 'quarantine'")
    assert (await of(spine, "reports")).held_by == {"quarantine": 3}
    await spine.run("UPDATE task_live SET queue = 'email'")
    assert (await of(spine, "email")).held_by == {"quarantine": 3}
    assert (await of(spine, "reports")).by_state == {}
    assert await wrong(spine.store) == []
    for rollup in rollups:
        await rollup.single_pass()
    assert [row["queue"] for row in await spine.rows("SELECT queue FROM backlog")] == ["email"]


async def test_what_a_transaction_that_was_rolled_back_moved_is_not_in_the_numbers(spine: Spine) -> None:
    await spine.commits.write_batch([new_task(queue="reports", delay_seconds=60.0)])

    async with spine.store.transaction() as connection:
        await connection.execute(text("UPDATE task_live SET state = 'queued', place = 'waiting', due_at = now()"))
        await connection.rollback()
    assert (await of(spine, "reports")).by_state == {"scheduled": 1}
    assert await wrong(spine.store) == []


async def test_what_was_moved_behind_its_back_is_set_right_and_told(
    spine: Spine, capsys: pytest.CaptureFixture[str]
) -> None:
    await spine.run(_BY_HAND, tasks=30)
    assert (await of(spine, "reports")).depth == 0, "a row that nobody counted"
    mending = BacklogMending(spine.store, spine.settings)
    await mending.single_pass()
    found = await of(spine, "reports")
    assert (found.depth, found.waiting) == (30, 30)
    assert "reports queued +30" in capsys.readouterr().out
    await spine.run("DELETE FROM task_live WHERE priority = 3")
    await mending.single_pass()
    assert (await of(spine, "reports")).depth == 30, "it rests for a minute"
    await BacklogMending(spine.store, spine.settings).single_pass()
    assert (await of(spine, "reports")).depth == 27
    assert await wrong(spine.store) == []


async def test_the_oldest_of_many_priorities_is_found(spine: Spine) -> None:
    await spine.run(_BY_HAND, tasks=30)
    await spine.run("UPDATE task_live SET due_at = now() - interval '90 seconds' WHERE priority = 4")
    await wrong(spine.store)
    assert 89 < ((await of(spine, "reports")).oldest_wait_seconds or 0) < 150


async def test_nobody_who_looks_reads_what_waits(spine: Spine) -> None:
    await spine.run(_BY_HAND, tasks=3000)
    await wrong(spine.store)
    async with spine.store.statement() as connection:
        await connection.execute(text("VACUUM ANALYZE task_live"))
        for statement, parameters in ((backlog.UNFINISHED, {}), (backlog._OF_ONE, {"queue": "reports"})):
            explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
            (plan,) = (await connection.execute(explained, parameters)).scalars()
            read = _rows_of(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"])
            assert read <= 20, f"{read} rows of task_live were looked at for\n{statement.text}"


def _rows_of(plan: dict[str, Any]) -> int:
    """Rows of ``task_live`` that a plan read, those that it threw away too."""
    here = (
        plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if plan.get("Relation Name") == "task_live" else 0
    )
    return int(here * plan["Actual Loops"]) + sum(map(_rows_of, plan.get("Plans", ())))

"""What a sample of the tasks was told, and what came of it."""

from collections.abc import Callable

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.forecasts import ForecastSweep
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.metrics import predictions
from pointsman_service.store.metrics.predictions import Tally
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task
from tests.stand import recount
from tests.stand.waiting import until

MAINTENANCE = list_key("maintenance", 7)
OWNER = "w#1"


@pytest.fixture
async def make_sweep(spine: Spine) -> Callable[[], ForecastSweep]:
    """A process that makes forecasts, and keeps ten samples a second."""
    judge = Judge(spine)
    for counter in (1, 2):
        await beat(spine, OWNER, 1, counter, name=OWNER, processes=10)
        await judge.watch(2)
    settings = spine.settings.model_copy(update={"prediction_samples_a_second": 10})
    return lambda: ForecastSweep(spine.store, spine.broker, spine.server, judge, settings)


async def _shows(spine: Spine, sweep: ForecastSweep, column: str, **wanted: object) -> None:
    """Look until the predictions of these tasks show this."""

    async def look() -> bool:
        await sweep.single_pass()
        rows = await spine.rows(f"SELECT priority::text AS name, {column} AS found FROM prediction")
        return {f"p{row['name']}": row["found"] for row in rows}.items() >= wanted.items()

    await until(look, f"{column} of {wanted}", 20)


async def _told(spine: Spine, p95_seconds: str) -> None:
    """Let them have been told this, and nobody know yet what came of it."""
    await spine.run(f"UPDATE prediction SET p50_seconds = 0.1, p95_seconds = {p95_seconds}, late_at = NULL")
    await spine.run("DELETE FROM prediction_metrics")
    await spine.run("DELETE FROM task_metrics_delta WHERE predicted > 0")


async def _counted(spine: Spine) -> dict[str, tuple[int, int, int]]:
    """By caller and pool: how many were predicted, and how many of them kept within the p95 and the p50."""
    rows = await spine.rows("""
        SELECT caller, coalesce(pool, '-') AS pool, sum(predicted)::int AS predicted, sum(kept)::int AS kept,
            sum(kept_p50)::int AS kept_p50
        FROM task_metrics_delta WHERE predicted > 0 AND task_type = 'noop' AND queue = 'maintenance' GROUP BY 1, 2
    """)
    return {f"{row['caller']}/{row['pool']}": (row["predicted"], row["kept"], row["kept_p50"]) for row in rows}


async def _tally(spine: Spine, seconds: float) -> Tally:
    async with spine.store.statement() as connection:
        return (await predictions.compared(connection, seconds))["maintenance"]


async def test_what_was_told_is_compared_with_what_came_once(
    spine: Spine, make_sweep: Callable[[], ForecastSweep]
) -> None:
    """Of a task that starts in time, one that starts late, one that is held, one that ends unstarted."""
    sweep = make_sweep()
    await sweep.single_pass()
    await spine.commits.write_batch([new_task(priority=priority) for priority in (4, 5, 6, 7)])
    await spine.commits.join(new_task(priority=8, delay_seconds=60.0))
    await spine.commits.drain()
    await _shows(spine, sweep, "settled_at IS NULL", p4=True, p5=True, p6=True, p7=True)
    assert await spine.rows("SELECT 1 FROM prediction WHERE priority = 8") == [], "it waits for its time first"

    await _told(spine, "CASE priority WHEN 4 THEN 60 ELSE 0.2 END")
    successor = make_sweep()
    await _shows(spine, successor, "late_at IS NOT NULL", p4=False, p5=True)
    assert (await _tally(spine, 60)).compared == 3, "as soon as that is known"
    await spine.run("""
        UPDATE task_live SET state = 'running', place = 'sent', attempt = 1, worker = 'w#1',
            started_at = submitted_at + CASE priority WHEN 4 THEN interval '50 ms' ELSE interval '10 s' END
        WHERE priority IN (4, 5)
    """)
    await spine.run("UPDATE task_live SET state = 'held', place = 'held', held_at = now() WHERE priority = 6")
    await spine.run("DELETE FROM task_live WHERE priority = 7")
    seconds = "waited_seconds::numeric::float8"
    await _shows(spine, successor, seconds, p4=0.05, p5=10.0, p6=None, p7=None)
    await _shows(spine, successor, "settled_at IS NOT NULL", p4=True, p5=True, p6=True, p7=True)

    tally = await _tally(spine, 60)
    assert (tally.compared, tally.within_p50, tally.within_p95) == (4, 1, 1)
    assert sum((tally.errors or {}).values()) == 2
    assert await _tally(spine, 3 * 3600) == tally, "an hour counts what its minutes count"
    assert await _counted(spine) == {"local/w#1": (1, 1, 1), "local/-": (3, 0, 0)}, "a miss is of no worker"

    # Another leader knows of all this, and counts none of it again.
    third = make_sweep()
    for _ in range(3):
        await third.single_pass()
    assert await _tally(spine, 60) == tally
    assert await _counted(spine) == {"local/w#1": (1, 1, 1), "local/-": (3, 0, 0)}

    rollup = Rollup(spine.store, spine.settings)
    while await rollup.single_pass():
        pass
    wrong = await recount.differences(spine)
    assert [line for line in wrong if "predicted" in line or "kept" in line] == []


async def test_a_paused_queue_makes_no_miss(spine: Spine, make_sweep: Callable[[], ForecastSweep]) -> None:
    sweep = make_sweep()
    await sweep.single_pass()
    await spine.commits.join(new_task(priority=4))
    await spine.commits.drain()
    await _shows(spine, sweep, "settled_at IS NULL", p4=True)
    await _told(spine, "0.2")
    await spine.broker.publish_pauses(["maintenance", 1, 1])
    successor = make_sweep()
    await successor.single_pass()
    await spine.run("""
        UPDATE task_live SET state = 'running', place = 'sent', attempt = 1, worker = 'w#1',
            started_at = submitted_at + interval '10 s'
    """)
    await _shows(spine, successor, "settled_at IS NOT NULL AND late_at IS NULL AND waited_seconds IS NULL", p4=True)

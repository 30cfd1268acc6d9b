"""What is expected of each queue, from real rows, a real broker and beats."""

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.reconcile.forecasts import ForecastSweep
from pointsman_service.store.queues import ahead
from pointsman_service.store.queues.ahead import MOST_LOOKED_AT, Ahead
from pointsman_service.store.upkeep.partitions import lowest_id
from tests.integration.reconcile.judge import Judge, beat
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
OWNER = "w#1"


@pytest.fixture
async def judge(spine: Spine) -> Judge:
    """Has seen a worker of ``maintenance`` with two processes beat twice."""
    judge = Judge(spine)
    for counter in (1, 2):
        await beat(spine, OWNER, 1, counter, name="w@host", processes=2)
        await judge.watch(2)
    return judge


@pytest.fixture
async def sweep(spine: Spine, judge: Judge) -> ForecastSweep:
    return ForecastSweep(spine.store, spine.broker, spine.server, judge, spine.settings)


@pytest.fixture
async def view(spine: Spine) -> PredictionView:
    return PredictionView(spine.server)


async def _ran(spine: Spine, run_seconds: float) -> None:
    """The type of the tests is known to run for so long."""
    await spine.run(f"""
        INSERT INTO task_metrics_delta (task_type, queue, minute, executions, run_buckets, run_counts)
        VALUES ('noop', 'maintenance', date_trunc('minute', now()), 50,
            ARRAY[ceil(ln({run_seconds}) / ln(1.1))::int], ARRAY[50])
    """)


async def test_what_waits_makes_a_task_wait(
    spine: Spine, judge: Judge, sweep: ForecastSweep, view: PredictionView
) -> None:
    await _ran(spine, 2.0)
    await sweep.single_pass()
    await view.single_pass()
    idle = view.of("maintenance", 3)
    assert idle.p95_seconds is not None
    assert idle.p95_seconds < 1, "both processes are free"

    await spine.commits.write_batch([new_task() for _ in range(20)] + [new_task(priority=9) for _ in range(10)])
    await spine.commits.drain()
    another = ForecastSweep(spine.store, spine.broker, spine.server, judge, spine.settings)
    await another.single_pass()
    await view.single_pass()
    seconds = {priority: view.of("maintenance", priority).p50_seconds or 0.0 for priority in (0, 3, 9, 10)}
    assert seconds[0] == seconds[3]
    assert 20 < seconds[3] < 40, "thirty tasks of two seconds, two at a time"
    assert 6 < seconds[9] < 14
    assert seconds[10] < 1


async def test_a_node_that_falls_silent_is_not_counted_on_from_the_next_look_on(
    spine: Spine, judge: Judge, sweep: ForecastSweep, view: PredictionView
) -> None:
    await _ran(spine, 2.0)
    await spine.commits.write_batch([new_task() for _ in range(20)])
    await spine.commits.drain()
    for counter in (1, 2):
        await beat(spine, OWNER, 1, counter + 2, name="w@host", processes=2)
        await beat(spine, "x#1", 1, counter, name="x@host", processes=2)
        await judge.look()
    await sweep.single_pass()
    await view.single_pass()
    with_both = view.of("maintenance", 3).p50_seconds or 0.0

    await judge.watch(1)
    await sweep.look()
    await view.single_pass()
    assert view.of("maintenance", 3).p50_seconds == with_both, "both have beaten lately"

    await beat(spine, "x#1", 1, 3, name="x@host", processes=2)
    await judge.look()
    judge.now += 1.5
    await sweep.look()
    await view.single_pass()
    assert (view.of("maintenance", 3).p50_seconds or 0.0) > 1.6 * with_both


async def test_a_task_waits_for_what_the_processes_run(
    spine: Spine, judge: Judge, sweep: ForecastSweep, view: PredictionView
) -> None:
    await _ran(spine, 20.0)
    await spine.commits.write_batch([new_task(), new_task()])
    await spine.commits.drain()
    for _ in range(2):
        message = await spine.message(MAINTENANCE)
        assert message is not None
        await spine.gate(message, owner=OWNER)
    await spine.record_all()
    await sweep.single_pass()
    await view.single_pass()
    seconds = view.of("maintenance", 3).p50_seconds
    assert seconds is not None
    assert 5 < seconds < 21, "the first of two processes gets free"


async def test_the_silence_of_the_last_worker_is_told_within_five_seconds(
    spine: Spine, judge: Judge, sweep: ForecastSweep, view: PredictionView
) -> None:
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is None
    judge.now += 1
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is None, "it may still beat"
    judge.now += 1
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is Reason.NOT_KNOWN
    await judge.watch(8)
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is Reason.NO_WORKER
    assert view.of("reports", 6).reason is Reason.NO_WORKER


async def test_a_queue_of_which_a_breaker_holds_all_is_not_predicted(
    spine: Spine, sweep: ForecastSweep, view: PredictionView
) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    await spine.run("""
        INSERT INTO breaker (scope, name, seen, machine) VALUES ('task_type', 'noop', 'open', '{}')
    """)
    await spine.run("""
        UPDATE task_live SET state = 'held', place = 'held', held_at = now(), held_reason = 'breaker:task_type:noop'
    """)
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is Reason.BREAKER_OPEN


async def test_a_paused_queue_is_not_predicted(spine: Spine, sweep: ForecastSweep, view: PredictionView) -> None:
    await spine.broker.publish_pauses(["maintenance", 1, 1])
    await sweep.single_pass()
    await view.single_pass()
    assert view.of("maintenance", 3).reason is Reason.PAUSED


async def test_a_forecast_goes_stale_by_itself(spine: Spine, sweep: ForecastSweep) -> None:
    await sweep.single_pass()
    for _ in range(2):
        assert 0 < await spine.server.command("PTTL", keys.FORECAST) <= 10_000
        await sweep.single_pass()


async def test_what_is_ahead_is_read_by_place_priority_and_type(spine: Spine) -> None:
    await spine.commits.write_batch([new_task(), new_task(), new_task(priority=7), new_task(task_type="sleep")])
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message, owner=OWNER)
    await spine.record_all()
    await spine.run("UPDATE task_live SET place = 'waiting' WHERE task_type = 'sleep'")
    async with spine.store.statement() as connection:
        rows = await ahead.ahead(connection, spine.queues)
    (running,) = [row for row in rows if row.place == "running"]
    assert (running.queue, running.task_type, running.worker, running.tasks) == ("maintenance", "noop", OWNER, 1)
    assert running.elapsed_seconds is not None
    others = sorted(row for row in rows if row.place != "running")
    assert others == [
        Ahead("maintenance", 3, "sent", "noop", None, None, 1),
        Ahead("maintenance", 3, "waiting", "sleep", None, None, 1),
        Ahead("maintenance", 7, "sent", "noop", None, None, 1),
    ]


async def test_a_long_line_is_looked_at_to_a_limit(spine: Spine) -> None:
    await spine.commits.write_batch([new_task() for _ in range(MOST_LOOKED_AT + 50)])
    await spine.commits.drain()
    await spine.run("UPDATE task_live SET place = 'waiting'")
    async with spine.store.statement() as connection:
        (row,) = await ahead.ahead(connection, spine.queues)
    assert row.tasks == MOST_LOOKED_AT


async def test_births_are_seen_also_of_tasks_that_ended_and_not_of_those_due_later(spine: Spine) -> None:
    await spine.commits.write_batch([new_task(), new_task(), new_task(priority=9)])
    await spine.commits.join(new_task(delay_seconds=60.0))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.report(message, verdict)
    await spine.record_all()
    async with spine.store.statement() as connection:
        now = await ahead.now(connection)
        low, year, high = (lowest_id(now.replace(year=year)) for year in (2020, 2040, 2041))
        born, samples = await ahead.births(connection, low, year, samples=2)
        assert await ahead.births(connection, year, high) == ([], [])
        again = (await ahead.births(connection, low, year, samples=2))[1]
    assert sorted((one.priority, one.tasks) for one in born) == [(3, 2), (9, 1)]
    assert len(samples) == 2
    assert samples == again
    assert {sample.before for sample in samples} <= {0, 1}


async def test_of_more_births_than_are_read_at_once_the_first_are_told(
    spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await spine.commits.write_batch([new_task(), new_task()])
    await spine.commits.drain()
    (row,) = await spine.rows("SELECT array_agg(id::text ORDER BY id) AS ids FROM task_live")
    monkeypatch.setattr(ahead, "MOST_BORN", 4)
    async with spine.store.statement() as connection:
        now = await ahead.now(connection)
        low, high = (lowest_id(now.replace(year=year)) for year in (2020, 2040))
        born, samples = await ahead.births(connection, low, high, samples=10)
    assert sum(one.tasks for one in born) == 4
    assert {str(sample.id) for sample in samples} == set(row["ids"][:4])

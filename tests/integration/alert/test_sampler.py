"""What the alerts looked at is kept, by minute, hour and day."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman_service.alert.facts import Facts, PoolFacts, QueueFacts
from pointsman_service.alert.sampler import Sampler
from pointsman_service.errors import DatabaseAway
from pointsman_service.store.metrics import history
from pointsman_service.store.store import Store
from tests.integration.alert.conftest import Alerting
from tests.integration.spine import Spine, new_task

_NOW = datetime(2026, 11, 28, 8, 30, 50, tzinfo=UTC).timestamp()


def facts(seconds: float, depth: int | None, processes: int | None = None) -> Facts:
    queue = QueueFacts(
        "email", 5.0, urgent=False, oldest_seconds=None, waiting_seconds=None, paused=False, room=True, consumers=None
    )
    counts = {"depth": depth, "waiting": depth, "on_broker": 0, "running": 0, "held": 0}
    pools = None if processes is None else (PoolFacts("email", processes, 1),)
    queues = None if depth is None else (replaced(queue, **counts),)
    return Facts(now=_NOW + seconds, queues=queues, pools=pools)


def replaced(queue: QueueFacts, **counts: int | None) -> QueueFacts:
    named = {name: getattr(queue, name) for name in QueueFacts.__slots__}
    return QueueFacts(**(named | counts))


async def kept(spine: Spine, figure: str, table: str = "queue_metrics") -> list[tuple[Any, ...]]:
    rows = await spine.rows(
        "SELECT step_seconds, extract(epoch FROM at)::int - :now AS at, samples, total, low, high, last"
        f" FROM {table} WHERE figure = :figure ORDER BY step_seconds, at",
        figure=figure,
        now=int(_NOW),
    )
    return [tuple(row.values()) for row in rows]


async def test_samples_of_a_minute_its_hour_and_its_day_come_together(closed_spine: Spine) -> None:
    sampler = Sampler(closed_spine.store)
    for seconds, depth in ((0.0, 5), (4.0, 1), (8.0, 3), (12.0, 7)):
        await sampler.take(facts(seconds, depth, processes=4))
    # Another leader goes on.
    await Sampler(closed_spine.store).take(facts(16.0, 9))
    minutes = [(60, -50, 3, 9.0, 1.0, 5.0, 3.0), (60, 10, 2, 16.0, 7.0, 9.0, 9.0)]
    assert await kept(closed_spine, "depth") == [
        *minutes, (3600, -1850, 5, 25.0, 1.0, 9.0, 9.0), (86_400, -30_650, 5, 25.0, 1.0, 9.0, 9.0),
    ]  # fmt: skip
    assert (await kept(closed_spine, "utilization", "worker_metrics"))[0] == (60, -50, 3, 0.75, 0.25, 0.25, 0.25)
    assert await kept(closed_spine, "consumers") == [], "nobody knew"


async def test_what_is_not_known_is_not_sampled(closed_spine: Spine) -> None:
    sampler = Sampler(closed_spine.store)
    await sampler.take(facts(0.0, None))
    await sampler.take(facts(20.0, None))
    assert await closed_spine.rows("SELECT queue FROM queue_metrics") == []
    assert await closed_spine.rows("SELECT pool FROM worker_metrics") == []


async def test_samples_that_could_not_be_written_are_written_later(closed_spine: Spine) -> None:
    class Away(Store):
        def transaction(self) -> Any:
            raise DatabaseAway("not now")

    sampler = Sampler(Away(closed_spine.store._engine))
    await sampler.take(facts(0.0, 5))
    assert await closed_spine.rows("SELECT queue FROM queue_metrics") == []
    sampler._store = closed_spine.store
    await sampler.take(facts(10.0, 6))
    assert [row[2] for row in await kept(closed_spine, "depth")] == [1, 1, 2, 2]


async def test_rates_are_what_came_and_went_between_two_looks(closed_spine: Spine) -> None:
    sampler = Sampler(closed_spine.store)
    now = datetime.now(UTC).timestamp() - _NOW
    await sampler.take(facts(now, 0))
    assert await kept(closed_spine, "arrival_rate") == [], "from one look nobody knows"
    await closed_spine.commits.write_batch([new_task(queue="email") for _ in range(20)])
    await sampler.take(facts(now + 10.0, 20))
    assert {row[3] for row in await kept(closed_spine, "arrival_rate")} == {2.0}
    assert {row[3] for row in await kept(closed_spine, "service_rate")} == {0.0}


async def test_a_look_at_alerts_keeps_every_queue_and_the_pools_once_they_are_judged(spine: Spine) -> None:
    alerting = Alerting(spine, worker_dead_seconds=0.01)
    await spine.commits.write_batch([new_task(queue="email") for _ in range(3)])
    sweep = alerting.another_sweep()
    await sweep.single_pass()
    rows = await spine.rows("SELECT queue, figure, last FROM queue_metrics WHERE step_seconds = 60")
    seen = {(row["queue"], row["figure"]): row["last"] for row in rows}
    assert {queue for queue, _ in seen} == set(spine.queues)
    assert seen["email", "depth"] == 3
    assert seen["email", "window"] == spine.settings.window_initial
    pools: set[str] = set()
    while not pools:
        sweep._sampler._write_at = 0.0
        await sweep.single_pass()
        pools = {row["pool"] for row in await spine.rows("SELECT pool FROM worker_metrics")}
    assert pools == {pool.name for pool in spine.settings.topology.pools}


@pytest.mark.parametrize("step", [60, 3600, 86_400])
async def test_samples_leave_by_age_of_their_step(closed_spine: Spine, step: int) -> None:
    await Sampler(closed_spine.store).take(facts(0.0, 5))
    await closed_spine.run("UPDATE queue_metrics SET at = now() - interval '3 days'")
    async with closed_spine.store.statement() as connection:
        assert await history.forget(connection, step, 4.0, 100) == 0
        assert await history.forget(connection, step, 2.0, 100) > 0
    left = await closed_spine.rows("SELECT DISTINCT step_seconds FROM queue_metrics")
    assert step not in {row["step_seconds"] for row in left}
    assert len(left) == 2

"""Races between a worker that was taken for dead and those who rescue what it ran."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointsman_service.claims.rescue import Rescuer
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.store.lost import rescuing
from pointsman_service.store.upkeep.partitions import lowest_id
from tests.race.world import ERROR, World

OWNER = "w@h"


async def begun(race: World, **changes: Any) -> tuple[str, dict[str, Any], list[Any]]:
    """A task that a worker runs, as its row knows, with its message and the gate's verdict."""
    task = await race.submit(**changes)
    message = await race.take()
    assert message is not None
    verdict = await race.spine.gate(message, "slow", OWNER)
    race.ran[task] = [1]
    await race.spine.record_all()
    return task, message, verdict


async def rescue(race: World, epoch: int) -> int:
    """What the sweep of dead workers does once it has judged."""
    async with race.spine.store.statement() as connection:
        attempts = await rescuing.running_of(connection, [OWNER], 10)
    return await Rescuer(race.spine.store, race.spine.server).rescue(attempts, epoch)


@pytest.mark.parametrize("kind", ["succeeded", "failed"])
async def test_rescue_against_the_report_of_a_slow_worker(race: World, kind: str) -> None:
    task, message, verdict = await begun(race)
    more = {"error": ERROR, "retry_in_seconds": 0.0} if kind == "failed" else {}
    epoch = int(verdict[2])
    async with race.spine.recording():
        await race.play(
            rescue(race, epoch),
            race.spine.report(message, verdict, kind, "slow", **more),
            rescue(race, epoch),
            DueSweep(race.spine.store, race.spine.settings).single_pass(),
            race.spine.dispatcher.single_pass(),
            race.take_and_work(),
        )
    await race.settle()
    assert (await race.check())[task] == "succeeded"
    # Rescued and run again, or reported in time: never more than the attempts the row knows of.
    (row,) = await race.spine.rows("SELECT attempt FROM task")
    assert race.ran[task] == list(range(1, len(race.ran[task]) + 1))
    assert len(race.ran[task]) <= row["attempt"]


async def test_many_rescuers_of_one_attempt_interrupt_it_once(race: World) -> None:
    task, _, verdict = await begun(race)
    rescued = await race.play(*(rescue(race, int(verdict[2])) for _ in range(4)))
    assert sum(rescued) == 1
    await race.settle()
    assert (await race.check())[task] == "succeeded"
    assert race.ran[task] == [1, 2]
    assert (await race.spine.counters())["interrupted"] == 1


async def test_a_lost_message_that_is_sent_again_against_the_worker_that_had_it(race: World) -> None:
    spine = race.spine
    task = await race.submit()
    message = await race.take()
    await spine.run("UPDATE task_live SET sent_at = sent_at - interval '1 minute'")
    liveness = Liveness(spine.server, spine.settings.worker_dead_seconds)
    await liveness.look()
    sweeps = [LostSweep(spine.store, spine.broker, spine.server, liveness, spine.settings) for _ in range(2)]
    async with spine.recording():
        _, _, *words = await race.play(
            *(sweep.single_pass() for sweep in sweeps),
            race.work(message),
            spine.dispatcher.single_pass(),
            race.take_and_work(),
        )
    assert words[0] in ("run", "duplicate")
    await race.settle()
    assert await race.check() == {task: "succeeded"}
    assert race.ran == {task: [1]}


async def test_retention_against_a_late_outcome(race: World) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=90)
    task, message, verdict = await begun(race, id=str(UUID(int=lowest_id(long_ago).int + race.random.getrandbits(64))))
    assert await rescue(race, int(verdict[2])) == 1
    await race.settle()
    await race.spine.run("UPDATE task SET finished_at = now() - interval '89 days'")
    before = await race.spine.counters()
    async with race.spine.recording():
        await race.play(
            RetentionSweep(race.spine.store, race.spine.settings).single_pass(),
            race.spine.report(message, verdict, "failed", "slow", error=ERROR),
            race.spine.report(message, verdict, "succeeded", "slow"),
        )
    await race.spine.record_all()
    assert await race.spine.rows("SELECT id FROM task UNION ALL SELECT id FROM task_live") == [], f"{task} stays"
    assert await race.spine.counters() == before

"""Claims that came back with old data: a Redis restored to a moment before its tasks had ended."""

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.reconcile.old_claims import OldClaimsSweep
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


async def states(spine: Spine, tasks: list[str]) -> list[bytes | None]:
    return [await spine.server.command("HGET", keys.claim(task), "state") for task in tasks]


async def ended_before_the_snapshot_knew(spine: Spine) -> str:
    """A task that Postgres knows as finished, and whose claim says that it runs."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    task: str = message["headers"]["id"]
    snapshot = await spine.server.command("DUMP", keys.claim(task))
    await spine.report(message, verdict)
    await spine.record_all()
    await spine.server.command("RESTORE", keys.claim(task), 0, snapshot, "REPLACE")
    return task


async def all_passes(sweep: OldClaimsSweep) -> None:
    while await sweep.single_pass():
        pass


async def test_the_claim_of_a_finished_task_is_forgotten_in_the_new_epoch(spine: Spine) -> None:
    sweep = OldClaimsSweep(spine.store, spine.server)
    await all_passes(sweep)
    finished = await ended_before_the_snapshot_knew(spine)
    await all_passes(sweep)
    assert await states(spine, [finished]) == [b"running"], "nothing is looked for in an epoch that was looked through"
    await spine.server.command("HSET", keys.CONTROL, "run_id", "the server before")
    await spine.open_epoch()
    await all_passes(sweep)
    assert await states(spine, [finished]) == [None]


async def test_claims_of_unfinished_tasks_and_finished_claims_stay(spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.gate(message)
    running: str = message["headers"]["id"]
    done = new_task().id
    await spine.server.command("HSET", keys.claim(done), "state", "done", "attempt", 1, "token", "token")
    await all_passes(OldClaimsSweep(spine.store, spine.server))
    assert await states(spine, [running, done]) == [b"running", b"done"]


async def test_every_claim_is_looked_at_however_many_there_are(spine: Spine) -> None:
    tasks = [new_task().id for _ in range(2500)]
    await spine.server.pipeline([("HSET", keys.claim(task), "state", "running", "token", "t") for task in tasks])
    await all_passes(OldClaimsSweep(spine.store, spine.server))
    assert not any(await states(spine, tasks))


async def test_nothing_is_forgotten_before_the_epoch_is_open(closed_spine: Spine) -> None:
    task = new_task().id
    await closed_spine.server.command("HSET", keys.claim(task), "state", "running", "token", "t")
    sweep = OldClaimsSweep(closed_spine.store, closed_spine.server)
    await all_passes(sweep)
    assert await states(closed_spine, [task]) == [b"running"]
    await closed_spine.open_epoch()
    await all_passes(sweep)
    assert await states(closed_spine, [task]) == [None]

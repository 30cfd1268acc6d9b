"""Cancel against claim, start and complete: whatever comes first, the task ends once, and its counters say so."""

import asyncio
import random
from typing import Any

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.callers import LOCAL
from pointsman_service.errors import TaskFinished
from pointsman_service.operate.cancel import Canceller
from pointsman_service.reconcile.cancelled import CancelledSweep
from tests.integration.operate.test_cancel import ERROR, submitted
from tests.integration.spine import Spine

MAINTENANCE = list_key("maintenance", 7)
_TASKS = 12


@pytest.mark.parametrize("seed", range(4))
async def test_race_cancel_against_claim_start_and_complete(spine: Spine, seed: int) -> None:
    chance = random.Random(seed)
    tasks = [await submitted(spine) for _ in range(_TASKS)]
    canceller = Canceller(spine.store, spine.server)
    ran: dict[str, str] = {}

    async def work() -> None:
        while (message := await spine.message(MAINTENANCE)) is not None:
            await _rest(chance)
            verdict = await spine.gate(message)
            if verdict[0] != b"run":
                continue
            await _rest(chance)
            kind = chance.choice(["succeeded", "failed"])
            more: dict[str, Any] = {"error": ERROR, "retry_in_seconds": 0.0} if kind == "failed" else {}
            ran[message["headers"]["id"]] = kind
            await spine.report(message, verdict, kind, **more)

    async def cancel() -> None:
        for task in tasks:
            await _rest(chance)
            try:
                await canceller.cancel(LOCAL, task, 5.0)
            except TaskFinished:
                continue

    async with spine.recording():
        await asyncio.gather(work(), work(), cancel())
    await spine.record_all()
    sweep = CancelledSweep(spine.store, spine.server, spine.settings)
    async with spine.recording():
        await sweep.single_pass()
    # What had failed before its cancel waits for its next attempt no longer.
    assert await spine.rows("SELECT id FROM task_live") == []
    ended = {str(row["id"]): row for row in await spine.rows("SELECT id, state, attempt FROM task")}
    assert len(ended) == _TASKS
    for task_id, row in ended.items():
        wanted = "succeeded" if ran.get(task_id) == "succeeded" else "cancelled"
        assert (row["state"], row["attempt"]) == (wanted, 1 if task_id in ran else 0), f"seed {seed}"
    counted = await spine.counters()
    assert counted.get("succeeded", 0) + counted.get("cancelled", 0) == _TASKS
    assert counted.get("started", 0) == counted.get("executions", 0) == len(ran)


async def _rest(chance: random.Random) -> None:
    for _ in range(chance.randrange(6)):
        await asyncio.sleep(0)

"""``expires_at`` against a start: whoever is first decides, and the task ends once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.expired import ExpiredSweep
from tests.integration.operate.test_cancel import submitted
from tests.integration.spine import Spine
from tests.stand.waiting import until

MAINTENANCE = list_key("maintenance", 7)
_TASKS = 20


@pytest.mark.parametrize("seed", range(3))
async def test_race_expiry_against_start(spine: Spine, seed: int) -> None:
    chance = random.Random(seed)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(_TASKS):
        await submitted(spine, expires_at=soon + timedelta(seconds=chance.random()))
    ran: dict[str, float] = {}
    sweep = ExpiredSweep(spine.store, spine.server, spine.settings)
    done = asyncio.Event()

    async def consume() -> None:
        while (message := await spine.message(MAINTENANCE)) is not None:
            await asyncio.sleep(chance.random() / 4)
            verdict = await spine.gate(message)
            if verdict[0] == b"run":
                ran[message["headers"]["id"]] = float(verdict[3])
                await spine.report(message, verdict)

    async def expire() -> None:
        while not done.is_set():
            await sweep.single_pass()
            await asyncio.sleep(0.01)

    async with spine.recording():
        expiring = asyncio.create_task(expire())
        await asyncio.gather(consume(), consume())
        await until(lambda: _is_drained(spine), "every task to end")
        done.set()
        await expiring
    rows = await spine.rows("SELECT id, state, attempt, extract(epoch FROM expires_at)::float8 AS expires_at FROM task")
    assert len(rows) == _TASKS
    for row in rows:
        started_at = ran.get(str(row["id"]))
        assert (row["state"], row["attempt"]) == (("expired", 0) if started_at is None else ("succeeded", 1)), seed
        assert started_at is None or started_at < row["expires_at"], f"seed {seed}"
    counted = await spine.counters()
    assert counted.get("expired", 0) + counted.get("succeeded", 0) == _TASKS


async def _is_drained(spine: Spine) -> bool:
    return not await spine.rows("SELECT id FROM task_live LIMIT 1")

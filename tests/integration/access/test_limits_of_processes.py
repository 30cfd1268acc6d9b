"""Ten times the rate, for a while, at four processes of the API: what they let through together."""

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from pointsman_client.aio.client import AsyncClient
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.callers import CONSOLE
from pointsman_service.limits import Rate
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.access.serving import served
from tests.integration.spine import Spine

PROCESSES = 4
RATE = Rate.of("8/1s", 8)
SECONDS = float(os.environ.get("POINTSMAN_LIMIT_SECONDS", "6"))
TIMES = 10


async def test_four_processes_admit_no_more_than_the_rate_and_the_burst(
    spine: Spine, settings: Settings, tmp_path: Path
) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9)])
    hand = KeyHand(spine.store)
    await hand.create(CONSOLE, WantedKey("root", preset="admin"), None)
    made = await hand.create(CONSOLE, WantedKey("billing", preset="submitter", rate=str(RATE), burst=RATE.burst), None)
    answers: Counter[tuple[int, int]] = Counter()
    async with AsyncExitStack() as stack:
        places = [tmp_path / str(number) for number in range(PROCESSES)]
        for place in places:
            place.mkdir()
        apis = await asyncio.gather(*(stack.enter_async_context(served(settings, place)) for place in places))
        headers = {"Authorization": f"Bearer {made.token}"}
        over = asyncio.Event()
        began = time.monotonic()

        async def load(number: int, each_seconds: float) -> None:
            while (left := began + SECONDS - time.monotonic()) > 0:
                due = time.monotonic() + each_seconds
                answer = await apis[number].http.post("/v1/tasks", json={"task_type": "noop"}, headers=headers)
                answers[number, answer.status_code] += 1
                if answer.status_code == 429:
                    assert answer.headers["retry-after"] == "1"
                    assert answer.headers["ratelimit-policy"] == RATE.policy
                await asyncio.wait(
                    [asyncio.ensure_future(over.wait())], timeout=max(0.0, min(left, due - time.monotonic()))
                )

        a_process = 5
        each = PROCESSES * a_process * RATE.each_seconds / TIMES
        await asyncio.gather(*(load(number, each) for number in range(PROCESSES) for _ in range(a_process)))
        seconds = time.monotonic() - began
        over.set()

        # The client that comes with Pointsman waits as it is told, and gets its turn.
        async with AsyncClient(f"http://127.0.0.1:{apis[0].port}", key=made.token, timeout=20) as client:
            for _ in range(RATE.burst + 5):
                await client.tasks.submit("noop")
    asked = answers.total()
    admitted = {number: answers[number, 202] for number in range(PROCESSES)}
    in_all = sum(admitted.values())
    allowed = seconds / RATE.each_seconds + RATE.burst
    print(  # noqa: T201
        f"{asked} asked in {seconds:.1f} s, {in_all} admitted of {allowed:.0f}, by process {list(admitted.values())}"
    )
    assert {status for _, status in answers} == {202, 429}
    assert asked > 3 * allowed, "what the machine manages"
    assert 0.8 * allowed <= in_all <= allowed * 1.01
    assert min(admitted.values()) > 0, admitted
    (row,) = await spine.rows("SELECT count(*) AS tasks FROM task_live")
    assert row["tasks"] == in_all + RATE.burst + 5

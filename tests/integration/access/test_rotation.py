"""A key is rotated while its caller submits without a pause: nothing fails, and then the old one is told to be over."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.callers import CONSOLE
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.access.serving import served
from tests.integration.spine import Spine

RATE = 500
"""Requests a second that are tried; what the machine manages is told."""
CALLERS = 25
OVERLAP_SECONDS = 3.0
ROTATIONS = 3


async def test_rotation_under_load_fails_nobody(spine: Spine, settings: Settings, tmp_path: Path) -> None:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9)])
    hand = KeyHand(spine.store)
    # Without one it would not serve.
    await hand.create(CONSOLE, WantedKey("root", preset="admin"), None)
    made = await hand.create(CONSOLE, WantedKey("billing", preset="submitter"), None)
    key, old = made.token, made.token
    answers: Counter[tuple[int, str]] = Counter()
    ends: dict[str, float] = {}
    """When a key that was rotated may open nothing more, at the soonest."""
    over = asyncio.Event()

    async with served(settings, tmp_path) as (http, _port, log):

        async def submit_on() -> None:
            while not over.is_set():
                due = time.monotonic() + CALLERS / RATE
                shown = key
                answer = await http.post(
                    "/v1/tasks", json={"task_type": "noop"}, headers={"Authorization": f"Bearer {shown}"}
                )
                # On a machine that takes seconds for an answer a request may come when its key is rightly over.
                if answer.status_code != 401 or shown == key or time.monotonic() < ends[shown]:
                    answers[answer.status_code, "" if answer.is_success else answer.text] += 1
                await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=max(0.0, due - time.monotonic()))

        callers = [asyncio.create_task(submit_on()) for _ in range(CALLERS)]
        began = time.monotonic()
        for _ in range(ROTATIONS):
            before = sum(answers.values())
            ends[key] = time.monotonic() + OVERLAP_SECONDS
            made = await hand.rotate(CONSOLE, made.key.id, OVERLAP_SECONDS, None, None)
            rotated = time.monotonic()
            # The new key is handed out a second later, as to a service whose file is replaced.
            await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=1.0)
            old, key = key, made.token
            left = rotated + OVERLAP_SECONDS + 0.5 - time.monotonic()
            await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=left)
            assert sum(answers.values()) > before
        over.set()
        await asyncio.gather(*callers)
        seconds = time.monotonic() - began
        assert set(answers) == {(202, "")}, (answers, log.read_text()[-2000:])
        print(f"{answers.total()} submissions in {seconds:.1f} s, {answers.total() / seconds:.0f} a second")  # noqa: T201
        refused = await http.get("/v1/tasks", headers={"Authorization": f"Bearer {old}"})
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:pointsman:problem:key-expired")
    (row,) = await spine.rows("SELECT count(*) AS tasks, count(DISTINCT caller) AS callers FROM task_live")
    assert row == {"tasks": answers.total(), "callers": 1}

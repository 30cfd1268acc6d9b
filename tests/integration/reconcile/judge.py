"""A judge of the living with a clock of its own, and workers that beat by hand."""

import json
from typing import Any

from pointsman_contract import keys
from pointsman_service.fleet.liveness import Liveness
from tests.integration.spine import Spine


async def beat(spine: Spine, owner: str, epoch: int, counter: int, *running: tuple[str, int, str], **more: Any) -> None:
    """A worker says what it runs."""
    named = [{"task": task, "attempt": attempt, "token": token} for task, attempt, token in running]
    said = {
        "name": "w@h",
        "owner": owner,
        "pool": "w",
        "queues": ["maintenance"],
        "processes": 1,
        "pid": 1,
        "host": "h",
        "started_at": 1.0,
        "contract": 1,
        "counter": counter,
        "consuming": counter,
        "epoch": epoch,
        "running": named,
    } | more
    await spine.server.command("HSET", keys.BEATS, owner, json.dumps(said))


class Judge(Liveness):
    """Looks when told to, and believes that as much time has passed as it is told."""

    def __init__(self, spine: Spine) -> None:
        self.now = 0.0
        super().__init__(spine.server, spine.settings.worker_dead_seconds, lambda: self.now)

    async def watch(self, seconds: float) -> None:
        """Look every second for so long."""
        for _ in range(int(seconds)):
            await self.look()
            self.now += 1
        await self.look()

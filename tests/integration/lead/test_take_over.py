"""Real reconcilers, two of them."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pointsman_service.settings import Settings
from tests.integration.spine import Spine, new_task
from tests.stand.environment import inherited
from tests.stand.processes import Child
from tests.stand.waiting import until


@pytest.fixture
def reconcilers(settings: Settings, tmp_path: Path) -> Iterator[list[Child]]:
    """With leads that last an hour: nobody waits for one to run out."""
    environment = inherited() | {
        "POINTSMAN_DATABASE_URL": settings.require_database_url(),
        "POINTSMAN_REDIS_URL": settings.require_redis_url(),
        "POINTSMAN_DATA_DIR": str(tmp_path),
        "POINTSMAN_LEADER_SECONDS": "3600",
    }
    with ExitStack() as exits:
        children = [
            Child(name, ["-m", "pointsman_service", "reconciler"], environment, tmp_path / f"{name}.log")
            for name in ("one", "two")
        ]
        for child in children:
            child.start()
            exits.callback(child.kill)
        yield children


async def leader(spine: Spine) -> int | None:
    """The process id of the reconciler that leads."""
    rows = await spine.rows("SELECT holder FROM leader WHERE expires_at > now()")
    return int(rows[0]["holder"].split(":")[1]) if rows else None


async def test_reconciler_that_is_killed_is_replaced_before_its_lead_runs_out(
    closed_spine: Spine, reconcilers: list[Child]
) -> None:
    spine = closed_spine
    tasks = [new_task(scheduled_at=None, delay_seconds=3600.0) for _ in range(2)]
    for task in tasks:
        await spine.commits.join(task)

    async def wakes(task_id: str) -> None:
        await spine.run("UPDATE task_live SET due_at = now() WHERE id = :id", id=task_id)

        async def is_awake() -> bool:
            return bool(await spine.rows(f"SELECT id FROM task_live WHERE id = '{task_id}' AND place = 'waiting'"))

        await until(is_awake, "a task that is due to be sent")

    await wakes(tasks[0].id)
    first = await leader(spine)
    (led,) = [child for child in reconcilers if child.pid == first]
    (other,) = [child for child in reconcilers if child.pid != first]
    os.kill(led.pid, signal.SIGKILL)
    await wakes(tasks[1].id)
    assert await leader(spine) == other.pid

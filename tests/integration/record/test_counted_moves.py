"""What happens to tasks on their way is counted from the rows that moved."""

from typing import Any

import pytest

from pointsman_contract.queues import list_key
from pointsman_service.store.lost import rescuing
from pointsman_service.store.lost.rescuing import Running
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
ERROR = {"type": "E", "message": "", "traceback": ""}


async def running(spine: Spine) -> tuple[dict[str, Any], list[Any]]:
    """A task whose row says that it runs."""
    await spine.commits.join(new_task(max_attempts=2))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.record_all()
    return message, verdict


async def counted(spine: Spine, *names: str) -> list[float]:
    sums = ", ".join(f"sum({name})::float8 AS {name}" for name in names)
    (row,) = await spine.rows(f"SELECT {sums} FROM task_metrics_delta")
    return [row[name] for name in names]


async def test_a_task_that_was_held_is_counted_with_its_time_when_it_ends(spine: Spine) -> None:
    message, verdict = await running(spine)
    await spine.run("UPDATE task_live SET held_seconds = 7.5")
    assert await counted(spine, "held") == [0]
    await spine.report(message, verdict)
    await spine.record_all()
    assert await counted(spine, "held", "held_seconds_sum", "succeeded") == [1, 7.5, 1]


@pytest.mark.parametrize(("in_a_row", "rescued", "failed"), [(0, 1, 0), (5, 0, 1)])
async def test_a_task_that_waits_again_after_its_worker_went_is_rescued_and_one_that_fails_is_not(
    spine: Spine, in_a_row: int, rescued: int, failed: int
) -> None:
    message, _ = await running(spine)
    await spine.run("UPDATE task_live SET interrupted_in_a_row = :n", n=in_a_row)
    async with spine.store.transaction() as connection:
        await rescuing.interrupt(connection, (), [Running(message["headers"]["id"], 1, "w@h")])
    assert await counted(spine, "interrupted", "rescued", "failed") == [1, rescued, failed]


@pytest.mark.parametrize("runs", [True, False])
async def test_a_cancel_counts_apart_where_the_task_ran(spine: Spine, runs: bool) -> None:
    message, verdict = await running(spine)
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 10")
    if runs:
        await spine.report(message, verdict, "failed", error=ERROR, retry_in_seconds=0.0)
    else:
        await spine.report(message, verdict)
    await spine.record_all()
    assert await counted(spine, "cancelled", "cancelled_running", "succeeded") == [runs, runs, not runs]

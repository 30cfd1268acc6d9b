"""One with many tasks does not delay another with few."""

from typing import Any

import pytest

from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

_SECONDS = 0.5
_QUEUE = "maintenance"


async def _submit(stack: Stack, tasks: int, key: str) -> None:
    one = {"task_type": "sleep", "args": [_SECONDS], "queue": _QUEUE, "fairness_key": key}
    for start in range(0, tasks, 500):
        answer = await stack.http.post("/v1/tasks/batch", json={"tasks": [one] * min(500, tasks - start)})
        assert answer.status_code == 202, answer.text


async def _longest_wait(stack: Stack, key: str) -> float:
    """Of ten tasks, once all have ended."""
    waits: list[float] = []

    async def ended() -> bool:
        sql = "SELECT queue_wait_seconds AS waited FROM task WHERE fairness_key = :key"
        waits[:] = [row["waited"] for row in await stack.rows(sql, key=key)]
        return len(waits) == 10

    await until(ended, f"the tasks of {key} to end")
    return max(waits)


async def _unfinished(stack: Stack) -> int:
    rows: list[dict[str, Any]] = await stack.rows(
        "SELECT count(*)::int AS n FROM task_live WHERE queue = :queue", queue=_QUEUE
    )
    return int(rows[0]["n"])


async def test_ten_tasks_wait_no_more_than_twice_as_long_beside_five_thousand_of_another(stack: Stack) -> None:
    await _submit(stack, 10, "alone")
    alone = await _longest_wait(stack, "alone")
    await _submit(stack, 5000, "many")
    try:
        await _submit(stack, 10, "few")
        beside = await _longest_wait(stack, "few")
        assert await _unfinished(stack) > 4000
    finally:
        answer = await stack.http.post(f"/v1/queues/{_QUEUE}/purge", json={"at_most": 6000, "reason": "over"})
        assert answer.is_success, answer.text
    assert beside <= 2 * alone

    async def empty() -> bool:
        return await _unfinished(stack) == 0

    await until(empty, "what was purged to be gone")

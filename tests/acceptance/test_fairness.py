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


async def _started_before(stack: Stack, first: str, last: str) -> int:
    """Of those with the key ``first``: how many have started since those with ``last`` were submitted, and before the
    last of them, once ten of them have ended.
    """

    async def ended() -> bool:
        return len(await stack.rows("SELECT id FROM task WHERE fairness_key = :key", key=last)) == 10

    await until(ended, f"the tasks of {last} to end")
    (row,) = await stack.rows(
        "WITH mine AS (SELECT min(submitted_at) AS since, max(started_at) AS until FROM task"
        " WHERE fairness_key = :last)"
        " SELECT count(*)::int AS n FROM (SELECT fairness_key, started_at FROM task"
        " UNION ALL SELECT fairness_key, started_at FROM task_live) AS started, mine"
        " WHERE fairness_key = :first AND started_at BETWEEN since AND until",
        first=first,
        last=last,
    )
    return int(row["n"])


async def _unfinished(stack: Stack) -> int:
    rows: list[dict[str, Any]] = await stack.rows(
        "SELECT count(*)::int AS n FROM task_live WHERE queue = :queue", queue=_QUEUE
    )
    return int(rows[0]["n"])


async def test_ten_tasks_start_long_before_five_thousand_of_another_that_came_first(stack: Stack) -> None:
    await _submit(stack, 5000, "many")
    try:
        await _submit(stack, 10, "few")
        ahead = await _started_before(stack, "many", "few")
        assert await _unfinished(stack) > 4000
    finally:

        async def empty() -> bool:
            answer = await stack.http.post(f"/v1/queues/{_QUEUE}/purge", json={"at_most": 6000, "reason": "over"})
            assert answer.is_success, answer.text
            return await _unfinished(stack) == 0

        await until(empty, "what is left to be gone")
    # What runs, what is fetched, and what starts until the dispatcher looks. How long that takes is a bench's question.
    assert ahead <= 100

"""One with many tasks does not delay another with few."""

from pathlib import Path
from typing import Any

import pytest

from pointsman_service.dispatch.turns import HEAD_START
from tests.acceptance.conftest import held
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


async def _wait_until_sent(stack: Stack, key: str) -> None:
    """Return once ten tasks with that key are on the broker."""

    async def sent() -> bool:
        found = await stack.rows(
            "SELECT t.id FROM task_live t WHERE t.fairness_key = :key AND t.place = 'sent'"
            " AND NOT EXISTS (SELECT FROM outbox o WHERE t.id = ANY(o.task_ids))",
            key=key,
        )
        return len(found) == 10

    await until(sent, f"the tasks of {key} to be sent")


async def _wait_until_window_is_of_such_tasks(stack: Stack) -> None:
    """Return once the broker takes no more of the queue than its processes do in ten seconds. After a thousand quick
    tasks of another test it takes thousands of slow ones, and what is on the broker goes before.
    """

    async def small() -> bool:
        answer = await stack.http.get(f"/v1/queues/{_QUEUE}")
        return int(answer.json()["window"]) < 500

    await until(small, "a window of slow tasks")


async def _wait_until_head_start_is_paid(stack: Stack, key: str) -> None:
    """Return once so many tasks with that key have started that others may go before what is on the broker.

    Where somebody else's task waited in the queue a moment before, those who came first had a head start themselves,
    and there is no other until twice as many have been fetched. Who was there before them may have had one, too, that
    was not paid either.
    """

    async def paid() -> bool:
        (row,) = await stack.rows(
            "SELECT count(*)::int AS n FROM (SELECT fairness_key, started_at FROM task"
            " UNION ALL SELECT fairness_key, started_at FROM task_live) AS all_of_them"
            " WHERE fairness_key = :key AND started_at IS NOT NULL",
            key=key,
        )
        return int(row["n"]) >= 4 * HEAD_START

    await until(paid, f"the head start of {key} to be paid")


async def _started_before(stack: Stack, first: str, last: str) -> int:
    """Of those with the key ``first``: how many have started since every process was held, and before the last of
    those with ``last``, once ten of them have ended.
    """

    async def ended() -> bool:
        return len(await stack.rows("SELECT id FROM task WHERE fairness_key = :key", key=last)) == 10

    await until(ended, f"the tasks of {last} to end")
    (row,) = await stack.rows(
        "WITH mine AS (SELECT (SELECT max(started_at) FROM task WHERE task_type = 'ledger.hold') AS since,"
        " (SELECT max(started_at) FROM task WHERE fairness_key = :last) AS until)"
        " SELECT count(*)::int AS n FROM (SELECT fairness_key, started_at FROM task"
        " UNION ALL SELECT fairness_key, started_at FROM task_live) AS started, mine"
        " WHERE fairness_key = :first AND started_at BETWEEN since AND until",
        first=first,
        last=last,
    )
    return int(row["n"])


async def _unfinished(stack: Stack) -> int:
    """Of both: other tests leave tasks in that queue that are due in years."""
    rows: list[dict[str, Any]] = await stack.rows(
        "SELECT count(*)::int AS n FROM task_live WHERE queue = :queue AND fairness_key IN ('many', 'few')",
        queue=_QUEUE,
    )
    return int(rows[0]["n"])


async def test_ten_tasks_start_long_before_five_thousand_of_another_that_came_first(
    stack: Stack, tmp_path: Path
) -> None:
    await _submit(stack, 200, "many")
    try:
        await _wait_until_window_is_of_such_tasks(stack)
        await _submit(stack, 4800, "many")
        await _wait_until_head_start_is_paid(stack, "many")
        # Nothing starts while they come, so it does not count how long the dispatcher takes to find them.
        async with held(stack, tmp_path / "release"):
            await _submit(stack, 10, "few")
            await _wait_until_sent(stack, "few")
        ahead = await _started_before(stack, "many", "few")
        assert await _unfinished(stack) > 4000
    finally:

        async def empty() -> bool:
            answer = await stack.http.post(f"/v1/queues/{_QUEUE}/purge", json={"at_most": 6000, "reason": "over"})
            assert answer.is_success, answer.text
            return await _unfinished(stack) == 0

        await until(empty, "what is left to be gone")
    # What the node had fetched, and as many as may go before others.
    assert ahead <= stack.processes + HEAD_START

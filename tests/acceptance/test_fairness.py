"""One with many tasks does not delay another with few."""

import asyncio
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
_MANY = 5000
_SLOW = 1500


async def _submit(stack: Stack, tasks: int, key: str, what: dict[str, Any] | None = None) -> None:
    one = (what or {"task_type": "sleep", "args": [_SECONDS]}) | {"queue": _QUEUE, "fairness_key": key}
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


async def _window(stack: Stack) -> int:
    return int((await stack.http.get(f"/v1/queues/{_QUEUE}")).json()["window"])


async def _wait_until_window_is_of_such_tasks(stack: Stack) -> None:
    """Return once the broker takes no more of the queue than its processes do in ten seconds."""

    async def small() -> bool:
        return await _window(stack) < 500

    await until(small, "a window of slow tasks")


async def _widen_window(stack: Stack) -> None:
    """Run quick tasks until thousands of messages may be on the broker, and none is."""

    async def wide() -> bool:
        if await _unfinished(stack, "quick"):
            return False
        if await _window(stack) > 4 * _SLOW:
            return True
        await _submit(stack, 2000, "quick", {"task_type": "noop", "args": []})
        return False

    async def is_open() -> bool:
        one = await stack.submit("sleep", args=[_SECONDS], queue=_QUEUE)
        rows = await stack.rows("SELECT id FROM task_live WHERE id = :id AND sent_at = submitted_at", id=one)
        return len(rows) == 1

    await until(wide, "a wide window")
    await until(is_open, "the API to send by itself")


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


async def _unfinished(stack: Stack, *keys: str, place: str | None = None) -> int:
    """Of these: other tests leave tasks in that queue that are due in years."""
    rows: list[dict[str, Any]] = await stack.rows(
        "SELECT count(*)::int AS n FROM task_live WHERE queue = :queue AND fairness_key = ANY(:keys)"
        " AND place = coalesce(:place, place)",
        queue=_QUEUE,
        keys=list(keys),
        place=place,
    )
    return int(rows[0]["n"])


async def _purge(stack: Stack, *keys: str) -> None:
    async def empty() -> bool:
        answer = await stack.http.post(f"/v1/queues/{_QUEUE}/purge", json={"at_most": 6000, "reason": "over"})
        assert answer.is_success, answer.text
        return await _unfinished(stack, *keys) == 0

    await until(empty, "what is left to be gone")


async def test_ten_tasks_start_long_before_five_thousand_of_another_that_came_first(
    stack: Stack, tmp_path: Path
) -> None:
    await _submit(stack, _MANY, "many")
    try:
        await _wait_until_head_start_is_paid(stack, "many")
        # Nothing starts while they come, so it does not count how long the dispatcher takes to find them.
        async with held(stack, tmp_path / "release"):
            await _submit(stack, 10, "few")
            await _wait_until_sent(stack, "few")
        ahead = await _started_before(stack, "many", "few")
        assert await _unfinished(stack, "many") > 4000
    finally:
        await _purge(stack, "many", "few")
    # What the node had fetched, and as many as may go before others.
    assert ahead <= stack.processes + HEAD_START


async def test_ten_tasks_start_long_before_a_thousand_of_another_that_are_all_on_the_broker(
    stack: Stack, tmp_path: Path
) -> None:
    await _widen_window(stack)
    try:
        await asyncio.gather(*(_submit(stack, 500, "slow") for _ in range(0, _SLOW, 500)))
        assert await _unfinished(stack, "slow", place="waiting") == 0
        await _wait_until_window_is_of_such_tasks(stack)
        async with held(stack, tmp_path / "release"):
            await _submit(stack, 10, "late")
            await _wait_until_sent(stack, "late")
        ahead = await _started_before(stack, "slow", "late")
        assert await _unfinished(stack, "slow", place="sent") > 1000
    finally:
        await _purge(stack, "slow", "late")
    assert ahead <= stack.processes

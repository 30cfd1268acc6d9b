"""The client against a whole installation."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pointsman_client import AsyncClient, CallNotAllowed, Client, TaskCancelled, TaskFailed, TaskStillRunning
from pointsman_client.models import BatchItem
from pointsman_client.problems import TaskFinished, UnknownTaskType
from tests.stand.resets import resetting
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


async def test_a_submission_and_its_result_are_two_lines(stack: Stack) -> None:
    def blocking() -> Any:
        with Client(stack.url) as client:
            return client.tasks.submit("ledger.add", 1, y=2).result(timeout=60)

    async with AsyncClient(stack.url) as client:
        handle = await client.tasks.submit("ledger.add", 3, y=4)
        assert await handle.result(timeout=60) == 7
    assert await asyncio.to_thread(blocking) == 3


async def test_a_wait_that_is_over_leaves_the_task_alone(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    async with AsyncClient(stack.url) as client:
        handle = await client.tasks.submit("ledger.hold", str(release))
        with pytest.raises(TaskStillRunning, match=handle.id):
            await handle.wait(timeout=1.5)
        assert (await handle.explain()).sentence
        release.touch()
        assert await handle.result(timeout=60) == "released"
        with pytest.raises(TaskFinished):
            await handle.cancel()


async def test_a_task_is_cancelled_and_a_failed_one_says_why(stack: Stack) -> None:
    async with AsyncClient(stack.url) as client:
        later = await client.tasks.with_options(delay_seconds=3600).submit("ledger.write")
        assert (await later.cancel("not wanted")).state == "cancelled"
        with pytest.raises(TaskCancelled):
            await later.result()
        flaky = await client.tasks.with_options(max_attempts=1).submit("ledger.flaky", 9)
        with pytest.raises(TaskFailed, match="ConnectionError: attempt 1"):
            await flaky.result(timeout=60)
        with pytest.raises(UnknownTaskType):
            await client.tasks.submit("no.such")


async def test_what_becomes_of_a_task_is_told_as_it_happens(stack: Stack, tmp_path: Path) -> None:
    release = tmp_path / "release"
    async with AsyncClient(stack.url) as client:
        handle = await client.tasks.submit("ledger.hold", str(release))
        states = []
        async for event in handle.events():
            states.append(event.data["state"])
            if states[-1] == "running":
                release.touch()
    assert states[-2:] == ["running", "succeeded"]


async def test_lines_that_a_task_writes_end_with_it(stack: Stack) -> None:
    async with AsyncClient(stack.url) as client:
        handle = await client.tasks.submit("ledger.add", 1, 2)
        names = [event.name async for event in client.tasks.stream_log_lines(handle.id)]
    assert names[-1] == "end"


async def test_many_are_submitted_in_chunks_and_one_that_is_refused_refuses_no_other(stack: Stack) -> None:
    items = [BatchItem(task_type="ledger.add", args=[number, 1]) for number in range(24)]
    items.insert(7, BatchItem(task_type="no.such"))
    async with AsyncClient(stack.url) as client:
        told = await client.tasks.with_options(tags={"of": "many"}).submit_many(items, at_once=10)
        assert [number for number, each in enumerate(told) if each.handle is None] == [7]
        assert isinstance(told[7].error, UnknownTaskType)
        again = await client.tasks.submit_many(
            [
                {**item, "idempotency_key": each.key, "tags": {"of": "many"}}
                for item, each in zip(items, told, strict=True)
            ]
        )
        handles = [each.handle for each in told if each.handle is not None]
        assert [each.handle.id for each in again if each.handle is not None] == [handle.id for handle in handles]
        results = await asyncio.gather(*(handle.result(timeout=60) for handle in handles))
        assert sorted(results) == list(range(1, 25))
        listed = [task.id async for task in client.tasks.each(tag=["of:many"], limit=7)]
        assert sorted(listed) == sorted(handle.id for handle in handles)


@pytest.mark.parametrize("half", ["blocking", "waiting"])
async def test_a_thousand_waits_have_two_connections(stack: Stack, tmp_path: Path, half: str) -> None:
    release = tmp_path / "release"
    first = await stack.submit("ledger.hold", args=[str(release)])
    second = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_effects([first, second])
    answer = await stack.http.post("/v1/tasks/batch", json={"tasks": [{"task_type": "ledger.write"}] * 998})
    ids = [first, second, *(each["task"]["id"] for each in answer.json()["results"])]

    with resetting(stack.port) as proxy:
        waits = asyncio.create_task(
            asyncio.to_thread(_in_threads, proxy.url, ids) if half == "blocking" else _in_tasks(proxy.url, ids)
        )

        async def all_wait() -> bool:
            # Nothing of them ends before its workers are free, so all of them wait when this is said.
            assert not waits.done(), waits
            return proxy.open == 2

        await until(all_wait, "a stream and a line to look along")
        release.touch()
        states = await waits
        assert states == ["succeeded"] * 1000
        # The proxy may hear of a new connection before it hears of the end of that which it replaces.
        assert proxy.most <= 3


def _in_threads(url: str, ids: list[str]) -> list[str]:
    threading.stack_size(256 * 1024)
    try:
        with Client(url) as client, ThreadPoolExecutor(len(ids)) as threads:
            return [str(task.state) for task in threads.map(lambda task_id: client.tasks.end_of(task_id, 200), ids)]
    finally:
        threading.stack_size(0)


async def _in_tasks(url: str, ids: list[str]) -> list[str]:
    async with AsyncClient(url) as client:
        return [str(task.state) for task in await asyncio.gather(*(client.tasks.end_of(one, 200) for one in ids))]


@pytest.mark.parametrize("half", ["blocking", "waiting"])
async def test_submissions_through_resets_are_each_stored_once(stack: Stack, half: str) -> None:
    most, tag = int(os.environ.get("RESET_SUBMISSIONS", "300")), f"resets-{half}"
    with resetting(stack.port, share=0.2, seed=7) as proxy:
        if half == "blocking":
            ids = await asyncio.to_thread(_submit_in_threads, proxy.url, most, tag)
        else:
            async with AsyncClient(proxy.url) as client:
                ids = await _submit_in_tasks(client, most, tag)
        assert proxy.resets >= most * 0.1
    async with AsyncClient(stack.url) as client:
        stored = [task.id async for task in client.tasks.each(tag=[f"of:{tag}"], limit=100)]
    assert len(stored) == most
    assert set(stored) == set(ids)


def _submit_in_threads(url: str, most: int, tag: str) -> list[str]:
    with Client(url) as client, ThreadPoolExecutor(8) as threads:
        tasks = client.tasks.with_options(tags={"of": tag}, delay_seconds=86400)
        return [handle.id for handle in threads.map(lambda _: tasks.submit("ledger.write"), range(most))]


async def _submit_in_tasks(client: AsyncClient, most: int, tag: str) -> list[str]:
    tasks, at_once = client.tasks.with_options(tags={"of": tag}, delay_seconds=86400), asyncio.Semaphore(50)

    async def submit() -> str:
        # Each has its deadline from when it is made, not from when it has a connection.
        async with at_once:
            return (await tasks.submit("ledger.write")).id

    return await asyncio.gather(*(submit() for _ in range(most)))


async def test_calls_that_are_guarded_open_a_breaker_for_everybody(stack: Stack) -> None:
    name = "api.bank.example"
    async with AsyncClient(stack.url) as client:
        await client.breakers.set_policy("dependency", name, failure_threshold=2, reason="a short test")
        async with client.breakers.guard(name):
            pass
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with client.breakers.guard(name):
                    raise TimeoutError("the bank is silent")
        with pytest.raises(CallNotAllowed) as refused:
            async with client.breakers.guard(name):
                raise AssertionError("it was called")
        assert refused.value.retry_at is not None
        assert (await client.breakers.get("dependency", name)).state == "open"
        await client.breakers.reset("dependency", name, reason="the test is over")


async def test_every_resource_answers_in_the_types_that_are_told(stack: Stack) -> None:
    async with AsyncClient(stack.url) as client:
        (queue, *_) = (await client.queues.list()).items
        assert queue.name
        assert (await client.queues.explain(queue.name)).queue == queue.name
        assert (await client.now.get()).queues
        worker = (await client.workers.list()).items[0]
        assert worker.started_at.tzinfo is not None
        assert "pointsman" in await client.metrics.prometheus()
        assert (await client.health.readiness()).answer is not None
        paused = await client.queues.pause("maintenance", reason="a test")
        assert paused.answer is not None
        await client.queues.resume("maintenance", reason="a test")
        found = await client.tasks.cancel_many(queue="maintenance", dry_run=True)
        assert type(found).__name__ == "CountedTasks"

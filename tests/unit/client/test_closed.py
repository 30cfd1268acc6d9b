"""A client that is closed says so: to who calls it then, and to who waits for an answer."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from pointsman_client import AsyncClient, Client, ClientClosed, ClientError, OtherLoop, TaskStillRunning
from tests.stand.waiting import until_now
from tests.unit.client.scripted import HALVES, Asked, Scripted, answer, by, scripted
from tests.unit.client.served import talking

either = pytest.mark.parametrize("half", HALVES)
TASK = {"id": "t-1", "task_type": "echo", "state": "queued", "result": None, "error": None}
DONE = TASK | {"state": "succeeded", "result": 7}
UNDER_WAY: dict[str, Callable[[Any], Any]] = {
    "call": lambda client: client.tasks.get("t-1"),
    "wait": lambda client: client.tasks.handle("t-1").wait(60),
    "events": lambda client: client.tasks.stream("t-1"),
}


@either
@pytest.mark.parametrize("use", UNDER_WAY)
def test_a_closed_client_is_told_as_such(half: str, use: str) -> None:
    async def waiting(client: AsyncClient) -> None:
        await client.aclose()
        found = UNDER_WAY[use](client)
        _ = [each async for each in found] if use == "events" else await found

    def blocking(client: Client) -> None:
        client.close()
        found = UNDER_WAY[use](client)
        _ = list(found) if use == "events" else found

    with scripted(answer(200, DONE)) as api, pytest.raises(ClientClosed, match="the client was closed"):
        by(half, api.url, blocking if half == "blocking" else waiting)
    assert api.asked == []


def _silent(asked: list[object]) -> Callable[..., None]:
    def talk(connection: Any, over: threading.Event) -> None:
        connection.recv(65536)
        asked.append(connection)
        over.wait()

    return talk


@pytest.mark.parametrize("use", UNDER_WAY)
def test_closing_ends_what_other_threads_do(use: str) -> None:
    """More of them than there are connections, so that some wait for one."""
    asked: list[object] = []
    ended: list[BaseException | None] = []

    def one(client: Client) -> None:
        try:
            found = UNDER_WAY[use](client)
            if isinstance(found, Iterator):
                next(found)
        except BaseException as error:
            ended.append(error)
        else:
            ended.append(None)

    with talking(_silent(asked)) as place:
        client = Client(place.url, timeout=60)
        threads = [threading.Thread(target=one, args=(client,)) for _ in range(110)]
        for thread in threads:
            thread.start()
        until_now(lambda: len(asked) >= (1 if use == "wait" else 100), "calls under way")
        client.close()
        for thread in threads:
            thread.join(30)
        assert {type(error) for error in ended} == {ClientClosed}
        assert len(ended) == len(threads)


@pytest.mark.parametrize("use", UNDER_WAY)
def test_closing_ends_what_other_tasks_do(use: str) -> None:
    asked: list[object] = []

    async def one(client: AsyncClient) -> None:
        found = UNDER_WAY[use](client)
        await (anext(found) if use == "events" else found)

    async def go(url: str) -> list[Any]:
        client = AsyncClient(url, timeout=60)
        tasks = [asyncio.create_task(one(client)) for _ in range(110)]
        while len(asked) < (1 if use == "wait" else 100):
            await checkpoint()
        await client.aclose()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)

    with talking(_silent(asked)) as place:
        assert {type(error) for error in asyncio.run(go(place.url))} == {ClientClosed}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_goes_on_in_the_next_event_loop() -> None:
    """Nobody closed what it had in the first: Python complains of that."""
    with scripted(answer(200, DONE)) as api:
        client = AsyncClient(api.url)
        for _ in range(2):
            assert anyio.run(client.tasks.get, "t-1").result == 7
            assert anyio.run(client.tasks.handle("t-1").result, 5.0) == 7
        anyio.run(client.aclose)
        gc.collect()
    assert api.connections == 4


def test_a_client_is_not_for_two_event_loops_at_once() -> None:
    async def second(client: AsyncClient) -> None:
        with pytest.raises(OtherLoop, match="one event loop at a time"):
            await client.tasks.get("t-1")
        with pytest.raises(OtherLoop):
            await client.tasks.handle("t-1").wait(5)

    async def first(client: AsyncClient) -> None:
        async with client:
            await client.tasks.get("t-1")
            await asyncio.to_thread(asyncio.run, second(client))
            assert (await client.tasks.get("t-1")).result == 7

    with scripted(answer(200, DONE)) as api:
        asyncio.run(first(AsyncClient(api.url)))
    assert len(api.asked) == 2


@either
def test_who_does_not_wait_at_all_looks_once(half: str) -> None:
    """Whatever others wait for: it needs no turn."""
    with scripted(answer(200, DONE)) as api:
        assert by(half, api.url, lambda client: client.tasks.handle("t-1").result(timeout=0)) == 7
    with scripted(answer(200, TASK)) as api, pytest.raises(TaskStillRunning, match="is queued after 0 s"):
        by(half, api.url, lambda client: client.tasks.handle("t-1").wait(timeout=0))
    assert len(api.asked) == 1


@either
def test_who_waited_alone_and_in_vain_knows_how_the_task_is(half: str) -> None:
    """Though an API waits in whole seconds, and its answer would come too late."""

    def talk(connection: Any, over: threading.Event) -> None:
        while asked := connection.recv(65536):
            if b"prefer: wait" in asked.lower():
                over.wait(30)
            connection.sendall(answer(200, TASK))

    with talking(talk) as place, pytest.raises(TaskStillRunning, match=r"echo t-1 is queued after 0\.5 s"):
        by(half, place.url, lambda client: client.tasks.handle("t-1").wait(timeout=0.5))


@either
def test_a_wait_may_have_no_end_but_is_a_number(half: str) -> None:
    with scripted(answer(200, DONE)) as api:
        assert by(half, api.url, lambda client: client.tasks.handle("t-1").result(timeout=float("inf"))) == 7
        with pytest.raises(ValueError, match="number of seconds"):
            by(half, api.url, lambda client: client.tasks.handle("t-1").wait(timeout=float("nan")))
    for timeout in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="timeout must be"):
            Client("http://h", timeout=timeout)


def test_hundreds_of_tasks_are_cancelled_in_the_middle_and_nothing_is_left_of_them() -> None:
    """Each leaves its connection and its place in the line: whoever comes after them is served as ever."""

    async def storm(client: AsyncClient, asked: list[Asked]) -> None:
        for progress in range(12):
            wanted = len(asked) + progress * 7
            tasks = [
                asyncio.create_task(client.tasks.handle(f"t-{number % 30}").wait(30))
                if number % 2
                else asyncio.create_task(client.tasks.get("t-1"))
                for number in range(120)
            ]
            while len(asked) < wanted:
                await checkpoint()
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError, ClientError):
                    await task
        assert client.waits._waiters == {}
        assert client.waits._stream is None
        assert (await client.tasks.get("t-1")).state == "queued"
        with pytest.raises(TaskStillRunning):
            await client.tasks.handle("t-1").wait(0.3)
        pool = client._wire._transport._pool
        assert [each for each in pool.connections if not each.is_idle()] == []
        assert pool._requests == []

    async def go(api: Scripted) -> None:
        async with AsyncClient(api.url) as client:
            await storm(client, api.asked)

    with scripted(answer(200, TASK)) as api:
        asyncio.run(go(api))

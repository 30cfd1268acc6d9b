"""Clients that keep submitting, whatever happens to the service, and remember every answer."""

import asyncio
import itertools
from collections import Counter
from types import TracebackType
from typing import Self

import httpx

from tests.acceptance.stack import GONE, Stack
from tests.acceptance.waiting import until


class Load:
    """Submits ``ledger.write`` from many clients at once until the block ends.

    Every other submission has an Idempotency-Key and is sent again with it until it is answered, as a careful client
    does; the rest is given up when the connection breaks.
    """

    def __init__(self, stack: Stack, clients: int = 24) -> None:
        self._stack = stack
        self._clients = clients
        self._numbers = itertools.count()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.accepted: set[str] = set()
        """Ids answered 202, or 200 as the task of a key."""
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        """Requests that got no answer."""
        self.pending = 0
        """Requests on their way now."""

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def more(self, tasks: int) -> None:
        """Return once so many more tasks were accepted than at the time of the call."""
        wanted = len(self.accepted) + tasks

        async def enough() -> bool:
            for client in self._tasks:
                if client.done():
                    client.result()
            return len(self.accepted) >= wanted

        await until(enough, f"{wanted} tasks to be accepted, {len(self.accepted)} were")

    async def _client(self) -> None:
        async with self._stack.client() as http:
            while not self._stopping:
                number = next(self._numbers)
                key = f"load-{number}" if number % 2 else None
                while not await self._submit(http, number, key):
                    if self._stopping:
                        return
                    await until(self._may_go_on, "the API to be back")
                    if key is None:
                        break

    async def _submit(self, http: httpx.AsyncClient, number: int, key: str | None) -> bool:
        body = {"task_type": "ledger.write", "args": [number], "priority": number % 11}
        self.pending += 1
        try:
            headers = {} if key is None else {"Idempotency-Key": key}
            answer = await http.post("/v1/tasks", json=body, headers=headers)
        except httpx.TimeoutException as error:
            raise AssertionError(f"submission {number} with key {key} got no answer") from error
        except GONE:
            self.broken += 1
            return False
        finally:
            self.pending -= 1
        self.statuses[answer.status_code] += 1
        if answer.status_code in (200, 202):
            self.accepted.add(answer.json()["id"])
        return True

    async def _may_go_on(self) -> bool:
        return self._stopping or await self._stack.answers()

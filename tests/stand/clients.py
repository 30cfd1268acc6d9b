"""Clients at work at once for the length of a block, whatever they submit."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sized
from types import TracebackType
from typing import Self

from tests.stand.waiting import DEADLINE_SECONDS, until


class Clients(ABC):
    """An async context manager: they begin with the block, and are told to stop at its end."""

    _deadline_seconds = DEADLINE_SECONDS

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @abstractmethod
    def accepted(self) -> Sized:
        """What was accepted so far."""

    @abstractmethod
    async def _client(self, number: int) -> None:
        """The work of one of them, until ``_stopping``."""

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
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
        """Return once so many more tasks were accepted than at the time of the call. Raises what a client raised."""
        wanted = len(self.accepted) + tasks

        async def enough() -> bool:
            for client in self._tasks:
                if client.done():
                    client.result()
            return len(self.accepted) >= wanted

        await until(enough, f"{wanted} tasks to be accepted, {wanted - tasks} were", self._deadline_seconds)

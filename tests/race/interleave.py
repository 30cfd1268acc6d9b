"""Actors that take turns: before each step to a server the seed says who goes on, so that a race is one of the orders
in which things can happen, and the same seed tries the same order again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from pointsman_service.redis import RedisServer, ScriptCall, Word
from pointsman_service.store.store import Connection, Store

_BLOCKED_SECONDS = 0.03
"""Who does not come to its next step within that time waits for a lock of another, who must go on first."""


class Turns:
    """Runs actors, and whatever tasks they start, one step at a time."""

    def __init__(self, drawn: random.Random) -> None:
        self._random = drawn
        self._waiting: list[asyncio.Future[None]] = []
        self._moved = asyncio.Event()
        self._over = False

    async def play(self, actors: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """What each actor returned, or the exception it raised, in their order."""
        tasks = [asyncio.create_task(self._act(actor)) for actor in actors]
        # Each comes to its first step before anybody takes it.
        await asyncio.sleep(0)
        while not all(task.done() for task in tasks):
            self._moved.clear()
            if self._waiting:
                self._waiting.pop(self._random.randrange(len(self._waiting))).set_result(None)
            try:
                async with asyncio.timeout(_BLOCKED_SECONDS):
                    await self._moved.wait()
            except TimeoutError:
                continue
        self._over = True
        for turn in self._waiting:
            turn.set_result(None)
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def step(self) -> None:
        """Return when it is the caller's turn."""
        if self._over:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._moved.set()
        await turn

    async def _act(self, actor: Coroutine[Any, Any, Any]) -> Any:
        _turns.set(self)
        try:
            await self.step()
            return await actor
        finally:
            self._moved.set()


_turns: ContextVar[Turns | None] = ContextVar("turns", default=None)


async def step() -> None:
    """A step of the actor that runs here; nothing outside of a play."""
    turns = _turns.get()
    if turns is not None:
        await turns.step()


class SteppedStore(Store):
    """A store whose every transaction and statement is a step, and every commit another."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """As the store's."""
        await step()
        async with super().transaction() as connection:
            yield connection
            await step()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """As the store's."""
        await step()
        async with super().statement() as connection:
            yield connection


class SteppedRedis(RedisServer):
    """A server whose every call is a step."""

    async def run_id(self) -> str:
        """As the server's."""
        await step()
        return await super().run_id()

    async def command(self, *words: str | bytes | int | float) -> Any:
        """As the server's."""
        await step()
        return await super().command(*words)

    async def pipeline(self, commands: Sequence[tuple[str | bytes | int | float, ...]]) -> list[Any]:
        """As the server's."""
        await step()
        return await super().pipeline(commands)

    async def script(self, name: str, script_keys: Sequence[str], head: Sequence[Word], tail: Sequence[Word]) -> Any:
        """As the server's."""
        await step()
        return await super().script(name, script_keys, head, tail)

    async def scripts(self, name: str, calls: Sequence[ScriptCall]) -> list[Any]:
        """As the server's."""
        await step()
        return await super().scripts(name, calls)

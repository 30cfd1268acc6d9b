"""What waits for one listener: never more than one thing, the newest, however slow it reads."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

MESSAGE_SECONDS = 0.5
"""Between two messages to one listener."""


class Slot(Generic[T]):
    """Room for one thing. A second one before the first was taken is merged with it by ``merge``."""

    def __init__(self) -> None:
        self._news: T | None = None
        self._there = asyncio.Event()
        self._over = asyncio.Event()
        self._not_before = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more comes, but for what may be in it."""
        return self._over.is_set()

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken."""
        return self._news is None

    def merge(self, before: T, news: T) -> T:
        """What becomes of two things that nobody took between."""
        del before
        return news

    def offer(self, news: T) -> None:
        """Put something in."""
        self._news = news if self._news is None else self.merge(self._news, news)
        self._there.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._over.set()
        self._there.set()

    async def next(self, seconds: float) -> T | None:
        """What is new, at most twice a second. None: nothing within ``seconds``, or it is ``over``."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                await self._there.wait()
                pause = self._not_before - loop.time()
                if pause > 0:
                    await self._rest(pause)
        except TimeoutError:
            return None
        self._not_before = loop.time() + MESSAGE_SECONDS
        return self._take()

    async def await_news(self) -> T | None:
        """What is new as soon as it is; None: it is ``over``."""
        await self._there.wait()
        return self._take()

    def _take(self) -> T | None:
        news, self._news = self._news, None
        if not self.over:
            self._there.clear()
        return news

    async def _rest(self, seconds: float) -> None:
        """Let more gather; not when it is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

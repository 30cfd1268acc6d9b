import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.listeners import Listeners
from pointsman_service.store.store import Store


@asynccontextmanager
async def running(stream: ChangeStream) -> AsyncIterator[ChangeStream]:
    """Its reader runs for the length of the block, as in a process that has the API."""
    stop = asyncio.Event()
    reader = asyncio.create_task(stream.loop.run(stop))
    try:
        yield stream
    finally:
        stop.set()
        stream.ring()
        await reader


@pytest.fixture
async def stream(store: Store) -> AsyncIterator[ChangeStream]:
    """The changes of one process."""
    async with running(ChangeStream(store, Listeners(100))) as one:
        yield one


@pytest.fixture
def another_process(store: Store) -> Callable[[], ChangeStream]:
    """The changes of another process, to be run."""
    return lambda: ChangeStream(store, Listeners(100))

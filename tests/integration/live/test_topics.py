"""Who is told only that something changed: soon, and for few statements."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pointsman_service.live import changes as reader
from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.task_changes import TaskListener, TaskMatch
from pointsman_service.live.topics import Topic, TopicListener
from pointsman_service.store import changes
from pointsman_service.store.changes import Changes, Mark
from pointsman_service.store.store import Connection, ConnectionLost, Store
from tests.integration.live.conftest import running
from tests.integration.live.test_changes import SOON, CountingStore, born, cancelled, states, told_until
from tests.integration.spine import new_task
from tests.stand.waiting import until


@asynccontextmanager
async def told(stream: ChangeStream) -> AsyncIterator[TopicListener]:
    """Somebody who has been told of everything so far."""
    async with running(stream):
        listener = stream.topics(list(Topic), counts=False)

        async def knows() -> bool:
            return stream.read_at is not None

        await until(knows, "the first look", SOON)
        yield listener


async def test_the_longer_nothing_changes_the_less_often_is_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MESSAGE_SECONDS", 0.02)
    monkeypatch.setattr(reader, "_QUIET_SECONDS", 0.4)
    counting = CountingStore(store)
    async with told(ChangeStream(counting, Listeners(1))) as listener:
        before, began = counting.asked, time.monotonic()

        async def asked_again() -> bool:
            return counting.asked >= before + 3

        await until(asked_again, "three looks", SOON)
        quiet = time.monotonic() - began
        assert quiet > 0.7
        await born(store, new_task())
        assert await listener.await_news() == frozenset({Topic.TASKS})
        before, began = counting.asked, time.monotonic()
        await until(asked_again, "three looks", SOON)
        # Where something has just changed more may follow.
        assert time.monotonic() - began < quiet


async def test_after_the_database_was_away_everything_may_have_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MESSAGE_SECONDS", 0.02)
    since = changes.since

    async def lost(*words: Any, **named: Any) -> Changes:
        monkeypatch.setattr(changes, "since", since)
        raise ConnectionLost("the connection to the database broke")

    async with told(ChangeStream(store, Listeners(1))) as listener:
        monkeypatch.setattr(changes, "since", lost)
        async with asyncio.timeout(SOON):
            assert await listener.await_news() == frozenset(Topic)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await listener.await_news()


async def test_what_this_process_changes_is_told_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ChangeStream(store, Listeners(1))
    monkeypatch.setattr(reader, "_QUIET_SECONDS", 600.0)
    async with told(stream) as listener:
        await born(store, new_task())
        stream.changed_here()
        async with asyncio.timeout(SOON):
            assert await listener.await_news() == frozenset({Topic.TASKS})


async def test_a_bell_is_heard_for_whoever_is_told_topics(store: Store) -> None:
    stream = ChangeStream(store, Listeners(1))
    async with told(stream) as listener:
        assert stream.watched.is_set()
        stream.leave(listener)
        assert not stream.watched.is_set()


async def test_who_follows_from_the_middle_of_a_look_misses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ChangeStream(store, Listeners(10))
    (task_id,) = await born(store, new_task())
    follower = TaskListener(TaskMatch())
    asked: list[bool] = []
    since = changes.since

    async def slow_since(connection: Connection, mark: Mark, *, named: bool = True) -> Changes:
        asked.append(named)
        if not named and len(stream._channels) == 0:
            # Between the question and its answer.
            stream._channels.add(follower)
            await cancelled(store, task_id)
        return await since(connection, mark, named=named)

    async with told(stream):
        monkeypatch.setattr(changes, "since", slow_since)
        messages = await told_until(follower, {task_id})
    assert states(messages) == {task_id: "cancelled"}
    assert asked[:2] == [False, True]


async def test_pages_are_told_however_many_listen(store: Store) -> None:
    listeners = Listeners(1)
    stream = ChangeStream(store, listeners)
    full: Any = stream.topics([Topic.TASKS])
    pages = stream.topics([Topic.TASKS], counts=False)
    assert len(listeners) == 1
    stream.leave(pages)
    stream.leave(full)
    assert len(listeners) == 0

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from pointsman_contract import queues
from pointsman_contract.states import TaskState
from pointsman_service.callers import LOCAL
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.errors import TooManyListeners
from pointsman_service.live.changes import ChangeStream
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.slots import Slot
from pointsman_service.live.task_changes import TaskListener, TaskMatch, Told
from pointsman_service.live.topics import Topic
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.pause import Pauser
from pointsman_service.store import changes
from pointsman_service.store.breakers import breakers
from pointsman_service.store.store import Connection, Store
from pointsman_service.store.tasks import submitting
from pointsman_service.store.tasks.ending import end_unstarted
from tests.integration.live.conftest import running
from tests.integration.spine import Spine, new_task
from tests.stand.waiting import until

SOON = 10.0
EVERYTHING = TaskMatch()


async def born(store: Store, *tasks: Any) -> list[UUID]:
    """These tasks are submitted, or as many plain ones."""
    async with store.statement() as connection:
        await submitting.store(connection, tasks, [], 60.0)
    return [UUID(task.id) for task in tasks]


async def cancelled(store: Store, *ids: UUID) -> None:
    async with store.transaction() as connection:
        await end_unstarted(connection, (), [str(one) for one in ids], [], TaskState.CANCELLED, datetime.now(UTC))


async def told_until(listener: TaskListener, ids: set[UUID]) -> list[Told]:
    """Messages until these tasks were named."""
    messages: list[Told] = []
    while not ids <= {change.task.id for one in messages for change in one.changes}:
        told = await listener.next(SOON)
        assert told is not None
        messages.append(told)
    return messages


def states(messages: list[Told]) -> dict[UUID, str]:
    return {change.task.id: change.task.state for one in messages for change in one.changes}


class CountingStore(Store):
    """Knows how often it was asked."""

    def __init__(self, store: Store) -> None:
        self._inner = store
        self.asked = 0

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        self.asked += 1
        async with self._inner.statement() as connection:
            yield connection


async def test_nobody_asks_or_writes_anything_while_nobody_listens(store: Store, spine: Spine) -> None:
    counting = CountingStore(store)
    stream = ChangeStream(counting, Listeners(10))
    await born(store, new_task())
    assert await stream.single_pass()
    assert counting.asked == 0
    async with running(stream):
        watch = stream.watch((await born(store, new_task()))[0])
        assert await watch.next(SOON)
        stream.leave(watch)
    asked = counting.asked
    assert await stream.single_pass()
    assert counting.asked == asked
    await spine.run("UPDATE live_listening SET until = now() - interval '1 second'")
    await spine.run("DELETE FROM live_change")
    await cancelled(store, *await born(store, new_task()))
    assert await spine.rows("SELECT * FROM live_change") == []


async def test_a_watch_tells_each_state_of_a_task_and_its_progress(stream: ChangeStream, spine: Spine) -> None:
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(queues.list_key("maintenance", 7))
    assert message is not None
    task_id = message["headers"]["id"]
    watch = stream.watch(UUID(task_id))
    async with spine.recording():
        first = await watch.next(SOON)
        verdict = await spine.gate(message)
        second = await watch.next(SOON)
        await spine.append("progress", task_id, attempt=1, progress='{"current": 3}')
        third = await watch.next(SOON)
        await spine.report(message, verdict)
        fourth = await watch.next(SOON)
    seen = [one and (one.task.state, one.task.progress) for one in (first, second, third, fourth)]
    assert seen[:3] == [("queued", None), ("running", None), ("running", '{"current": 3}')]
    assert fourth is not None
    assert (fourth.task.state, fourth.is_terminal) == ("succeeded", True)


async def test_a_thousand_waiters_cost_no_statement_more_than_one(store: Store, spine: Spine) -> None:
    counting = CountingStore(store)
    async with running(ChangeStream(counting, Listeners(1))) as stream:
        ids = await born(store, *(new_task() for _ in range(1000)))
        waits = [stream.watch(one, waits=True) for one in ids]
        waiting = asyncio.gather(*(one.end_of_task(SOON) for one in waits))
        one = stream.watch(ids[0])
        assert await one.next(SOON)
        before = counting.asked
        await cancelled(store, *ids)
        assert set(await waiting) == {True}
        # Some looks at what changed, and one of them at all of these rows.
        assert counting.asked - before <= 10


async def test_one_who_waits_is_let_go_when_its_task_ends_and_not_before(stream: ChangeStream, store: Store) -> None:
    ended, other = await born(store, new_task(), new_task())
    first, second = stream.watch(ended, waits=True), stream.watch(other, waits=True)
    waiting = asyncio.create_task(second.end_of_task(SOON))
    both = asyncio.create_task(first.end_of_task(SOON))
    await cancelled(store, ended)
    assert await both
    assert not waiting.done()
    await cancelled(store, other)
    assert await waiting


async def test_one_who_waits_for_what_has_ended_is_let_go_at_once(stream: ChangeStream, store: Store) -> None:
    (ended,) = await born(store, new_task())
    await cancelled(store, ended)
    assert await stream.watch(ended, waits=True).end_of_task(SOON)


async def test_a_wait_is_over_after_its_time(stream: ChangeStream, store: Store) -> None:
    (never,) = await born(store, new_task())
    assert not await stream.watch(never, waits=True).end_of_task(0.05)


async def test_a_watch_of_what_is_not_kept_is_over(stream: ChangeStream) -> None:
    watch = stream.watch(UUID(new_task().id))
    assert await watch.next(SOON) is None
    assert watch.over


async def test_followers_are_told_what_meets_their_filter_whoever_changes_it(
    stream: ChangeStream, store: Store, spine: Spine, redis_server: Any
) -> None:
    tagged = new_task(queue="email", tags='{"tenant": "42"}')
    plain = new_task()
    everything = await stream.follow(EVERYTHING)
    of_tag = await stream.follow(TaskMatch(tags=((("tenant", "42"),),)))
    of_state = await stream.follow(TaskMatch(state=TaskState.CANCELLED))
    elsewhere = await stream.follow(TaskMatch(queue="email", task_type="another"))
    named = await stream.follow(TaskMatch(ids=frozenset({UUID(plain.id), UUID(new_task().id)})))
    ids = set(await born(store, tagged, plain))
    assert states(await told_until(named, {UUID(plain.id)})) == {UUID(plain.id): "queued"}
    assert states(await told_until(everything, ids)) == dict.fromkeys(ids, "queued")
    assert states(await told_until(of_tag, {UUID(tagged.id)})) == {UUID(tagged.id): "queued"}
    await Canceller(store, redis_server).cancel(LOCAL, UUID(plain.id), 0.0)
    assert states(await told_until(of_state, {UUID(plain.id)})) == {UUID(plain.id): "cancelled"}
    assert elsewhere.is_empty


async def test_a_change_that_is_committed_late_is_told_all_the_same(stream: ChangeStream, store: Store) -> None:
    listener = await stream.follow(EVERYTHING)
    slow = new_task()
    async with store.transaction() as connection:
        await submitting.store(connection, [slow], [], 60.0)
        quick = set(await born(store, new_task()))
        assert UUID(slow.id) not in states(await told_until(listener, quick))
    await told_until(listener, {UUID(slow.id)})


async def test_a_listener_begins_after_those_who_began_before_anybody_listened(
    stream: ChangeStream, store: Store
) -> None:
    early = new_task()
    async with store.transaction() as connection:
        await submitting.store(connection, [early], [], 60.0)
        following = asyncio.create_task(stream.follow(EVERYTHING))
        watch = stream.watch(UUID(early.id), waits=True)
        assert not await watch.end_of_task(0.3)
        assert not following.done()
    await following


async def test_a_listener_goes_on_at_another_process_where_it_left_off(
    stream: ChangeStream, store: Store, another_process: Callable[[], ChangeStream]
) -> None:
    listener = await stream.follow(EVERYTHING)
    (known,) = await born(store, new_task())
    mark = (await told_until(listener, {known}))[-1].mark
    stream.leave(listener)
    missed = set(await born(store, new_task(), new_task()))
    async with running(another_process()) as other:
        again = await other.follow(EVERYTHING, changes.Mark.from_text(mark.text))
        (message,) = await told_until(again, missed)
        assert states([message]).keys() == missed
        assert not message.reset


@pytest.mark.parametrize(
    "away",
    [
        lambda mark: replace(mark, at=mark.at - changes.KEPT_SECONDS),
        lambda mark: replace(mark, at=mark.at + 3600),
        lambda mark: replace(mark, newest=mark.newest + 1_000_000),
    ],
    ids=["too long ago", "in time to come", "of another history"],
)
async def test_a_listener_is_told_when_what_it_missed_is_not_known(
    stream: ChangeStream, store: Store, away: Callable[[changes.Mark], changes.Mark]
) -> None:
    listener = await stream.follow(EVERYTHING)
    mark = stream.mark_of(listener)
    assert mark is not None
    told = await (await stream.follow(EVERYTHING, away(mark))).next(SOON)
    assert told is not None
    assert (told.reset, list(told.changes)) == (True, [])


async def test_a_listener_is_told_that_nobody_listened_meanwhile(
    stream: ChangeStream, store: Store, spine: Spine, another_process: Callable[[], ChangeStream]
) -> None:
    listener = await stream.follow(EVERYTHING)
    mark = stream.mark_of(listener)
    await spine.run("UPDATE live_listening SET until = now() - interval '1 second'")
    await born(store, new_task())
    async with running(another_process()) as other:
        told = await (await other.follow(EVERYTHING, mark)).next(SOON)
    assert told is not None
    assert told.reset


async def test_more_changes_than_can_be_told_are_a_gap_and_not_silence(
    stream: ChangeStream, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await stream.follow(EVERYTHING)
    monkeypatch.setattr(changes, "_MOST_READ", 1)
    for _ in range(5):
        async with store.transaction() as connection:
            await submitting.store(connection, [new_task()], [], 60.0)
            await submitting.store(connection, [new_task()], [], 60.0)
            await submitting.store(connection, [new_task()], [], 60.0)
    while not (told := await listener.next(SOON)) or not told.reset:
        assert told is not None


async def test_a_message_names_a_bounded_number_of_tasks_and_counts_the_rest(
    stream: ChangeStream, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman_service.live.changes._TOLD_MOST", 3)
    monkeypatch.setattr("pointsman_service.live.changes._TOLD_LEAST", 3)
    everything = await stream.follow(EVERYTHING)
    newest = (await born(store, *(new_task() for _ in range(10))))[-3:]
    told = await everything.next(SOON)
    assert told is not None
    assert ([change.task.id for change in told.changes], told.left_out) == (newest, 7)
    of_queue = await stream.follow(TaskMatch(queue="email"))
    await born(store, *(new_task(queue=queue) for queue in ["email"] * 4 + ["maintenance"] * 5))
    for listener, left_out in ((of_queue, 1), (everything, 6)):
        told = await listener.next(SOON)
        assert told is not None
        assert (len(told.changes), told.left_out) == (3, left_out)


def test_many_listeners_are_told_less_at_once(store: Store) -> None:
    stream = ChangeStream(store, Listeners(1000))
    most = []
    for _ in range(500):
        stream._channels.add(TaskListener(EVERYTHING))
        most.append(stream._most)
    assert (most[0], most[49], most[99], most[-1]) == (1000, 1000, 250, 20)


async def test_listeners_are_limited_together_and_those_who_wait_are_not_among_them(store: Store) -> None:
    async with running(ChangeStream(store, Listeners(1))) as stream:
        (task_id,) = await born(store, new_task())
        watch = stream.watch(task_id)
        with pytest.raises(TooManyListeners):
            await stream.follow(EVERYTHING)
        with pytest.raises(TooManyListeners):
            stream.topics([Topic.TASKS])
        stream.watch(task_id, waits=True)
        stream.leave(watch)
        await stream.follow(EVERYTHING)


async def test_all_are_let_go_when_the_process_stops(store: Store) -> None:
    listeners = Listeners(10)
    async with running(ChangeStream(store, listeners)) as stream:
        (task_id,) = await born(store, new_task())
        slots: list[Slot[Any]] = [stream.watch(task_id), await stream.follow(EVERYTHING), stream.topics(list(Topic))]
        assert await slots[0].next(SOON)
        waiting = asyncio.create_task(stream.watch(task_id, waits=True).end_of_task(SOON))
        nexts = [asyncio.create_task(slot.next(SOON)) for slot in slots]
        listeners.close()
        stream.close()
        assert await asyncio.gather(*nexts) == [None, None, None]
        assert all(slot.over for slot in slots)
        assert await waiting is False
        assert not await stream.watch(task_id, waits=True).end_of_task(SOON)
        with pytest.raises(TooManyListeners):
            stream.watch(task_id)


async def test_what_changed_while_the_database_was_away_is_told_when_it_is_back(
    stream: ChangeStream, store: Store, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman_service.live.changes.STALE_SECONDS", 0.6)
    listener = await stream.follow(EVERYTHING)
    (task_id,) = await born(store, new_task())
    await told_until(listener, {task_id})

    async def stale() -> bool:
        return stream.is_stale

    async def fresh() -> bool:
        return not stream.is_stale

    assert await fresh()
    postgres.kill()
    await until(stale, "the stream to be stale")
    postgres.start()
    await cancelled(store, task_id)
    messages = await told_until(listener, {task_id})
    assert states(messages) == {task_id: "cancelled"}
    assert not any(one.reset for one in messages)
    await until(fresh, "the stream to be fresh")


async def test_topics_are_told_when_something_of_their_kind_changes(
    stream: ChangeStream, store: Store, spine: Spine
) -> None:
    everything = stream.topics(list(Topic))
    of_queues = stream.topics([Topic.QUEUES])
    watch = await stream.follow(EVERYTHING)
    await Pauser(store, spine.broker, spine.settings).set_paused(LOCAL, "email", paused=True, reason=None)
    assert await everything.next(SOON) == frozenset({Topic.QUEUES})
    assert await of_queues.next(SOON) == frozenset({Topic.QUEUES})
    async with store.transaction() as connection:
        row = {"scope": "dependency", "name": "a", "at": 0.0, "epoch": 1, "before": "closed", "after": "open"}
        await breakers.keep_transitions(connection, [row | {"reason": "", "actor": "", "error": None}])
    await born(store, new_task())
    seen: set[Topic] = set()
    while not {Topic.BREAKERS, Topic.TASKS} <= seen:
        news = await everything.next(SOON)
        assert news is not None
        seen |= news
    assert of_queues.is_empty
    assert watch is not None

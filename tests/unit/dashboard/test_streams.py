"""When a page that somebody looks at is looked at again, and what each viewer is sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest

from pointsman_service.callers import LOCAL
from pointsman_service.dashboard import rooms, streams
from pointsman_service.dashboard.page import Pace
from pointsman_service.dashboard.rooms import Key, Look, Room
from pointsman_service.dashboard.streams import Streams
from pointsman_service.live.topics import Topic, TopicListener
from tests.stand.waiting import until

SOON = 5.0
PACE = Pace(frozenset({Topic.TASKS}), every_seconds=600.0, most_seconds=6000.0)


class Told:
    """What changed, as tests say."""

    def __init__(self) -> None:
        self.listener: TopicListener | None = None
        self.answers = True

    @property
    def read_at(self) -> float | None:
        return time.monotonic() if self.answers else time.monotonic() - 60

    def topics(self, topics: Collection[Topic], *, counts: bool = True) -> TopicListener:
        assert not counts
        self.listener = TopicListener(topics)
        return self.listener

    def leave(self, listener: TopicListener) -> None:
        assert listener is self.listener
        self.listener = None

    async def tell(self, *topics: Topic) -> None:
        """These change, and it is heard."""
        assert self.listener is not None
        self.listener.offer(frozenset(topics))
        # The hearer takes it, and rooms hear of it.
        for _ in range(5):
            await asyncio.sleep(0)
        assert self.listener.is_empty


class Page:
    """A page whose content is how often it was looked at, unless a test says otherwise."""

    def __init__(self) -> None:
        self.looks = 0
        self.text: str | None = None
        self.fault: str | None = None
        self.missing: list[str] = []
        self.seconds = 0.0
        self.costs = 0.0

    async def __call__(self, key: Key) -> Look:
        self.looks += 1
        await asyncio.sleep(self.seconds)
        until = time.thread_time() + self.costs
        while time.thread_time() < until:
            pass
        if self.fault is not None:
            return Look(beat={"fault": self.fault}, fault=self.fault)
        beat = {"fault": None, "missing": self.missing}
        return Look({"live-list": self.text or f"look {self.looks}", "live-head": "head"}, beat)


class Stand:
    """The rooms of a process with one page."""

    def __init__(self) -> None:
        self.page = Page()
        self.told = Told()
        self.signs: object = "all is well"
        self.streams = Streams(self.page, 100, self.told, self.see)

    async def see(self) -> object:
        return self.signs

    @asynccontextmanager
    async def viewer(self, name: str = "ada", pace: Pace = PACE, seen: str = "") -> AsyncIterator["Viewer"]:
        room = self.streams.join(Key("tasks", LOCAL), name, pace)
        viewer = Viewer(room, self.streams.events(room, seen))
        await viewer.events.__anext__()
        try:
            yield viewer
        finally:
            self.streams.leave(room, name)

    async def looked(self, times: int) -> None:
        async def enough() -> bool:
            return self.page.looks >= times

        await until(enough, f"{times} looks", SOON)


class Viewer:
    """One who looks."""

    def __init__(self, room: Room, events: AsyncIterator[bytes]) -> None:
        self.room = room
        self.events = events

    async def next(self) -> bytes:
        async with asyncio.timeout(SOON):
            return await self.events.__anext__()


def beat_of(message: bytes) -> dict[str, object]:
    found = message.decode().partition("event: beat\n")[2].partition("data: ")[2]
    beat: dict[str, object] = json.loads(found.partition("\n")[0])
    return beat


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(streams, "_LEAST_SECONDS", 0.02)
    monkeypatch.setattr(streams, "_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(streams, "_GLANCE_SECONDS", 0.05)
    monkeypatch.setattr(streams, "_LOST_SECONDS", 1.0)
    monkeypatch.setattr(streams, "_SIGNS_SECONDS", 0.05)
    monkeypatch.setattr(rooms, "_SETTLE_SECONDS", 600.0)
    return Stand()


async def test_a_page_is_looked_at_when_something_that_it_shows_has_changed_and_not_before(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        assert b"look 1" in await viewer.next()
        await stand.told.tell(Topic.ALERTS, Topic.QUEUES)
        assert b"hx-partial" not in await viewer.next()
        assert stand.page.looks == 1
        await stand.told.tell(Topic.ALERTS, Topic.TASKS)
        assert b"look 2" in await viewer.next()


async def test_after_the_last_change_comes_one_more_look(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(streams, "_BEAT_SECONDS", 600.0)
    async with stand.viewer() as viewer:
        await viewer.next()
        await stand.told.tell(Topic.TASKS)
        assert b"look 2" in await viewer.next()
        assert b"look 3" in await viewer.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await viewer.events.__anext__()


async def test_a_thousand_changes_a_second_are_a_few_looks(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_LEAST_SECONDS", 0.1)
    async with stand.viewer() as viewer:
        await viewer.next()
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            await stand.told.tell(Topic.TASKS)
        assert 3 <= stand.page.looks <= (time.monotonic() - began) / 0.1 + 2


async def test_a_look_that_costs_much_is_taken_less_often(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_SHARE", 0.1)
    stand.page.costs = 0.02
    began = time.monotonic()
    async with stand.viewer() as viewer:
        await viewer.next()
        while stand.page.looks < 3:
            await stand.told.tell(Topic.TASKS)
            await asyncio.sleep(0.001)
        # Of the time that passed when the third began two looks took no more than their share.
        assert time.monotonic() - began >= 2 * 0.02 / 0.1 * 0.9


async def test_a_look_that_only_waits_is_no_dear_one(stand: Stand) -> None:
    stand.page.seconds = 0.1
    async with stand.viewer() as viewer:
        await viewer.next()
        assert viewer.room.cost < 0.05


async def test_what_many_look_at_is_looked_at_more_often_than_what_one_does(stand: Stand) -> None:
    costs = {"tasks": 0.001, "workers": 0.001, "errors": 0.004}
    counts = {"tasks": 16, "workers": 1, "errors": 1}
    here = {name: Room(Key(name, LOCAL), PACE) for name in costs}
    for name, room in here.items():
        room.cost, room.listeners = costs[name], counts[name]
        room.hear(list(Topic))
        stand.streams._rooms[room.key] = room
    pauses = {name: stand.streams._pause_of(room) for name, room in here.items()}
    assert pauses["workers"] == pytest.approx(4 * pauses["tasks"])
    assert pauses["errors"] == pytest.approx(2 * pauses["workers"])
    # Together they keep to their share.
    assert sum(costs[name] / pauses[name] for name in costs) == pytest.approx(streams._SHARE)
    # What no change wakes takes nothing of it.
    here["errors"].heard_at -= 60
    woken = [costs[name] / stand.streams._pause_of(here[name]) for name in ("tasks", "workers")]
    assert sum(woken) == pytest.approx(streams._SHARE)
    here["errors"].hear(list(Topic))
    # However much they cost, none is left for so long that its viewers take it for lost.
    for room in here.values():
        room.cost *= 10_000
    assert {stand.streams._pause_of(room) for room in here.values()} == {streams._LOST_SECONDS}


async def test_fifty_viewers_share_one_look_and_what_is_written_of_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Look] = []

    def news(look: Look, has: Look | None, seen: str) -> bytes:
        written.append(look)
        return _news(look, has, seen)

    _news = rooms._news
    monkeypatch.setattr(rooms, "_news", news)
    viewers = [stand.viewer(str(number)) for number in range(50)]
    here = [await one.__aenter__() for one in viewers]
    first = [await one.next() for one in here]
    assert {one.partition(b"event: beat")[0] for one in first} == {first[0].partition(b"event: beat")[0]}
    assert (stand.page.looks, len(written)) == (1, 1)
    stand.page.text = "other"
    await stand.told.tell(Topic.TASKS)
    second = [await one.next() for one in here]
    assert (stand.page.looks, len(written), stand.streams.listeners, len(stand.streams.rooms)) == (2, 2, 50, 1)
    assert {one.partition(b"event: beat")[0] for one in second} == {second[0].partition(b"event: beat")[0]}
    # Only what has changed.
    assert b"other" in second[0]
    assert b"live-head" not in second[0]
    for one in viewers:
        await one.__aexit__(None, None, None)
    assert stand.streams.listeners == 0


async def test_that_nothing_has_changed_is_told_without_a_look(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        await viewer.next()
        beats = [await viewer.next() for _ in range(3)]
    assert stand.page.looks == 1
    assert all(one.startswith(b"event: beat") and beat_of(one)["fault"] is None for one in beats)


async def test_while_nobody_can_say_what_changed_a_page_is_looked_at_all_the_same(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        await viewer.next()
        stand.told.answers = False
        stand.page.fault = "The database does not answer."
        message = await viewer.next()
        while beat_of(message)["fault"] is None:
            message = await viewer.next()
        assert b"hx-partial" not in message
        stand.told.answers, stand.page.fault = True, None
        await stand.told.tell(Topic.TASKS)
        while beat_of(message)["fault"] is not None:
            message = await viewer.next()
        assert b"look 3" in message or b"look 4" in message or b"look 5" in message


async def test_a_page_that_lacks_something_is_looked_at_again_soon_though_nothing_changes(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_AGAIN_SECONDS", 0.1)
    stand.page.missing, stand.page.text = ["The database does not answer."], "as it was"
    async with stand.viewer() as viewer:
        message = await viewer.next()
        # However often it finds the same.
        while stand.page.looks < 4:
            assert beat_of(message)["missing"] == stand.page.missing
            message = await viewer.next()
        stand.page.missing, stand.page.text = [], None
        while beat_of(message)["missing"]:
            message = await viewer.next()
        looks = stand.page.looks
        # Then only what changes is a reason again.
        for _ in range(3):
            await viewer.next()
        assert stand.page.looks == looks


async def test_what_no_topic_tells_of_is_seen_by_its_signs(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        assert b"look 1" in await viewer.next()
        message = await viewer.next()
        stand.signs = "a worker is silent"
        while b"hx-partial" not in message:
            message = await viewer.next()
        assert b"look 2" in message


async def test_a_page_that_stays_the_same_is_looked_at_ever_later(stand: Stand) -> None:
    stand.page.text = "same"
    pace = Pace(frozenset({Topic.TASKS}), every_seconds=0.05, most_seconds=600.0)
    async with stand.viewer(pace=pace) as viewer:
        began = time.monotonic()
        await stand.looked(4)
        # 0.05, 0.2 and 0.8 seconds.
        assert time.monotonic() - began > 1
        due = viewer.room.due_at(0.0)
        await stand.told.tell(Topic.TASKS)
        assert viewer.room.due_at(0.0) < due / 5


async def test_what_a_viewer_has_already_is_not_sent_again(stand: Stand) -> None:
    stand.page.text = "same"
    has = Look({"live-list": "same", "live-head": "head"}).mark
    async with stand.viewer(seen=has) as viewer:
        assert (await viewer.next()).startswith(b"event: beat")
        await stand.told.tell(Topic.TASKS)
        await stand.looked(2)
        assert (await viewer.next()).startswith(b"event: beat")


async def test_who_comes_is_told_what_was_looked_at_after_they_came(stand: Stand) -> None:
    async with stand.viewer("ada") as first:
        await first.next()
        async with stand.viewer("bob") as second:
            assert b"look 2" in await second.next()


async def test_nobody_looks_or_hears_anything_while_nobody_looks_on(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        await viewer.next()
        assert stand.told.listener is not None

    async def left() -> bool:
        return stand.told.listener is None

    await until(left, "the end of hearing", SOON)
    assert not stand.streams.rooms
    assert viewer.room.task is not None
    assert viewer.room.task.cancelling()


async def test_a_stop_ends_every_stream(stand: Stand) -> None:
    async with stand.viewer() as viewer:
        await viewer.next()
        stand.streams.close()
        assert [one async for one in viewer.events] == []
        assert not stand.streams.has_room_for("ada")


async def test_looks_that_are_not_answered_keep_no_other_page_waiting(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.05)
    never = asyncio.Event()

    async def look(key: Key) -> Look:
        if key.target == "tasks":
            return Look({"live-list": "as it was"}, {"fault": None})
        await never.wait()
        raise AssertionError

    stand.streams._look = look
    # As many as there are turns, and one more.
    rooms_ = [stand.streams.join(Key(f"errors/{number}", LOCAL), "grace", PACE) for number in range(3)]
    async with stand.viewer() as viewer:
        assert b"as it was" in await viewer.next()
    hung = stand.streams.events(rooms_[0], "")
    await hung.__anext__()
    assert beat_of(await hung.__anext__())["fault"] == "What is shown here could not be looked up in time."
    for room in rooms_:
        stand.streams.leave(room, "grace")

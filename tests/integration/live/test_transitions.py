import pytest

from pointsman_service.breaker.breaker import Kind, Outcome
from pointsman_service.breaker.registry import Registry
from pointsman_service.errors import TooManyListeners
from pointsman_service.live.listeners import Listeners
from pointsman_service.live.transitions import Listener, TransitionStream
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store

FAILURE = Outcome(Kind.FAILURE)
NOW = 0.0


async def trip(store: Store, settings: Settings, name: str) -> None:
    await Registry(store, settings).record(("dependency", name), [FAILURE] * 5)


async def told(listener: Listener) -> list[str]:
    rows = await listener.next(NOW)
    assert rows is not None
    return [row.name for row in rows]


async def test_listener_is_told_what_happens_from_then_on(store: Store, settings: Settings) -> None:
    stream = TransitionStream(store, Listeners(100))
    await trip(store, settings, "before")
    listener = await stream.listen(None)
    assert await told(listener) == []
    await trip(store, settings, "a")
    await trip(store, settings, "b")
    await stream.single_pass()
    assert await told(listener) == ["a"]
    assert await told(listener) == ["b"]
    assert await told(listener) == []


async def test_listener_goes_on_where_it_left_off(store: Store, settings: Settings) -> None:
    stream = TransitionStream(store, Listeners(100))
    for name in ("a", "b", "c"):
        await trip(store, settings, name)
    first = await stream.listen(0)
    rows = await first.next(NOW)
    assert rows is not None
    again = await stream.listen(rows[0].id)
    assert await told(again) == ["b", "c"]


async def test_nothing_between_reading_back_and_listening_is_missed_or_told_twice(
    store: Store, settings: Settings
) -> None:
    stream = TransitionStream(store, Listeners(100))
    await trip(store, settings, "a")
    listener = await stream.listen(0)
    await trip(store, settings, "b")
    await stream.single_pass()
    await trip(store, settings, "c")
    assert await told(listener) == ["a", "b", "c"]
    await stream.single_pass()
    assert await told(listener) + await told(listener) + await told(listener) == []


async def test_listener_that_falls_behind_is_cut_off(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointsman_service.live.transitions._WAITING", 2)
    stream = TransitionStream(store, Listeners(100))
    listener = await stream.listen(None)
    for name in ("a", "b", "c"):
        await trip(store, settings, name)
    await stream.single_pass()
    await told(listener)
    assert await listener.next(NOW) is None


async def test_closed_stream_ends_for_everybody_and_takes_nobody_new(store: Store) -> None:
    listeners = Listeners(100)
    stream = TransitionStream(store, listeners)
    listener = await stream.listen(None)
    await told(listener)
    listeners.close()
    assert await listener.next(NOW) is None
    with pytest.raises(TooManyListeners):
        await stream.listen(None)


async def test_listeners_are_limited_and_one_that_leaves_makes_room(store: Store) -> None:
    stream = TransitionStream(store, Listeners(1))
    listener = await stream.listen(None)
    with pytest.raises(TooManyListeners, match=r"1 listen to this process already.*POINTSMAN_LISTENERS_MOST") as raised:
        await stream.listen(None)
    assert raised.value.retry_after_seconds
    stream.leave(listener)
    await stream.listen(None)

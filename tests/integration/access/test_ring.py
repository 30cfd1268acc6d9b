"""What every process knows of keys, and how soon."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest

from pointsman_service.access import ring as rings
from pointsman_service.access.ring import KeyRing
from pointsman_service.callers import CONSOLE, WITHOUT_KEY, Caller
from pointsman_service.errors import KeyExpired, KeyNameTaken, KeyRevoked, KeyUnknown, PointsmanError
from pointsman_service.front.callers import KnownCallers
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.operate.sign_in import SessionHand
from pointsman_service.settings import Settings
from pointsman_service.store import api_keys
from pointsman_service.store.leadership import Presence
from pointsman_service.store.store import Store
from tests.integration.spine import Spine
from tests.stand.waiting import SLOWEST, until


@asynccontextmanager
async def process(store: Store) -> AsyncIterator[KeyRing]:
    """The ring of one process, whose loop runs."""
    presence, stop = Presence(store), asyncio.Event()
    ring = KeyRing(presence)
    running = asyncio.create_task(ring.loop.run(stop))
    try:
        yield ring
    finally:
        stop.set()
        await running
        await presence.close()


def shown(ring: KeyRing, token: str) -> Caller | None:
    """Who comes with a key, as each request asks: what was known a moment ago is known at once."""
    return KnownCallers(ring, Settings()).of({b"authorization": b"Bearer " + token.encode()}, "/v1/tasks")


def refusal(ring: KeyRing, token: str) -> type[PointsmanError] | None:
    try:
        shown(ring, token)
    except PointsmanError as error:
        return type(error)
    return None


async def become(look: Callable[[], bool], what: str, seconds: float) -> None:
    async def looked() -> bool:
        return look()

    await until(looked, what, SLOWEST * seconds)


async def told_within(seconds: float, ring: KeyRing, token: str, wanted: type[PointsmanError] | None) -> None:
    await become(lambda: refusal(ring, token) is wanted, f"the ring to say {wanted}", seconds)


async def test_every_process_knows_of_a_change_within_two_seconds(store: Store) -> None:
    hand = KeyHand(store)
    async with process(store) as one, process(store) as two:
        first = await hand.create(CONSOLE, WantedKey("first", preset="viewer"), None)
        for ring in (one, two):
            await told_within(2.0, ring, first.token, None)
        await hand.revoke(CONSOLE, first.key.id, None)
        for ring in (one, two):
            await told_within(2.0, ring, first.token, KeyRevoked)
        second = await hand.create(CONSOLE, WantedKey("second", preset="viewer"), None)
        third = await hand.rotate(CONSOLE, second.key.id, 0, None, None)
        for ring in (one, two):
            await told_within(2.0, ring, third.token, None)
            assert refusal(ring, second.token) is KeyExpired


async def test_a_right_that_is_taken_by_hand_in_the_database_is_gone_everywhere(spine: Spine, store: Store) -> None:
    made = await KeyHand(store).create(CONSOLE, WantedKey("ops", preset="operator"), None)
    async with process(store) as ring:
        await told_within(2.0, ring, made.token, None)

        def may_pause() -> bool:
            caller = shown(ring, made.token)
            return caller is not None and caller.may("pause_queue")

        assert may_pause()
        await spine.run("UPDATE api_key SET preset = 'viewer'")
        await become(lambda: not may_pause(), "the right to be gone", 2.0)


async def test_where_changes_are_not_heard_it_looks_each_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(_connection: object, _hears: object) -> None:
        return None

    monkeypatch.setattr(api_keys, "listen", deaf)
    hand = KeyHand(store)
    async with process(store) as ring:
        made = await hand.create(CONSOLE, WantedKey("ops", preset="viewer"), None)
        await told_within(2.0, ring, made.token, None)
        await hand.revoke(CONSOLE, made.key.id, None)
        await told_within(2.0, ring, made.token, KeyRevoked)


async def test_a_connection_that_is_lost_is_opened_again_and_heard(spine: Spine, store: Store) -> None:
    hand = KeyHand(store)
    async with process(store) as ring:
        await become(lambda: ring.looks > 0, "the first look", 5.0)
        await spine.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_notify%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        made = await hand.create(CONSOLE, WantedKey("ops", preset="viewer"), None)
        await told_within(12.0, ring, made.token, None)
        await hand.revoke(CONSOLE, made.key.id, None)
        await told_within(2.0, ring, made.token, KeyRevoked)


async def test_ten_thousand_checks_ask_nobody_and_take_no_time(store: Store, settings: Settings) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    tokens = [(await hand.create(CONSOLE, WantedKey(f"k{n}", preset="submitter"), None)).token for n in range(50)]
    await ring.refresh()
    looks, seconds = ring.looks, []
    for number in range(10_000):
        began = time.perf_counter()
        ring.caller(tokens[number % 50].encode())
        seconds.append(time.perf_counter() - began)
    assert ring.looks == looks
    assert statistics.quantiles(seconds, n=100)[98] <= 0.0003


async def test_what_is_heard_is_looked_after_every_ten_seconds_and_no_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rings._LOOK_SECONDS == 10.0
    monkeypatch.setattr(rings, "_WAIT_SECONDS", 0.01)
    clock = [1000.0]
    ring = KeyRing(Presence(store), lambda: clock[0])
    await ring.single_pass()
    assert ring.looks == 1
    await become(lambda: ring._heard, "its own word", 5.0)
    for _ in range(99):
        clock[0] += 0.1
        await ring.single_pass()
    assert ring.looks == 1
    clock[0] += 0.2
    await ring.single_pass()
    assert ring.looks == 2


async def test_when_a_key_was_last_used_is_written_once_a_minute_and_is_no_change(
    spine: Spine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await KeyHand(store).create(CONSOLE, WantedKey("ops", preset="viewer"), None)
    ring = KeyRing(Presence(store))
    monkeypatch.setattr(rings, "_WAIT_SECONDS", 0.01)
    await ring.refresh()
    (before,) = await spine.rows("SELECT revision, last_used_at FROM api_key")
    for _ in range(3):
        shown(ring, made.token)
        await ring.single_pass()
    (after,) = await spine.rows("SELECT revision, last_used_at FROM api_key")
    assert (before["last_used_at"], after["revision"]) == (None, before["revision"])
    assert after["last_used_at"] is not None
    monkeypatch.setattr(rings, "_USED_SECONDS", 0.0)
    await ring.single_pass()
    (again,) = await spine.rows("SELECT last_used_at FROM api_key")
    assert again == {"last_used_at": after["last_used_at"]}


async def test_a_clock_that_is_set_lets_no_key_last_longer_or_shorter(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    lasting = await hand.create(CONSOLE, WantedKey("lasting", preset="viewer", expires_seconds=3600), None)
    over = await hand.create(CONSOLE, WantedKey("over", preset="viewer", expires_seconds=-3600), None)
    for ahead in (0, 7200, -7200):
        clock = SimpleNamespace(time=partial(_later, ahead), monotonic=time.monotonic)
        monkeypatch.setattr(rings, "time", clock)
        await ring.refresh()
        assert [refusal(ring, one.token) for one in (lasting, over)] == [None, KeyExpired], ahead


def _later(seconds: float) -> float:
    return time.time() + seconds


async def test_a_key_that_came_before_is_known_at_once_unless_it_ends_by_the_clock(store: Store) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    lasting = await hand.create(CONSOLE, WantedKey("lasting", preset="viewer"), None)
    ending = await hand.create(CONSOLE, WantedKey("ending", preset="viewer"), None)
    await hand.rotate(CONSOLE, ending.key.id, 3600, None, None)
    await ring.refresh()
    for made in (lasting, ending):
        shown(ring, made.token)
    assert list(ring.fresh) == [b"Bearer " + lasting.token.encode()]
    assert shown(ring, lasting.token) is ring.fresh[b"Bearer " + lasting.token.encode()]
    await hand.limit(CONSOLE, lasting.key.id, None, 17, None, None)
    await ring.refresh()
    assert not ring.fresh
    changed = shown(ring, lasting.token)
    assert changed is not None
    assert changed.quota == 17


async def test_words_of_many_callers_take_little_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "_MOST_FRESH", 3)
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    made = [await hand.create(CONSOLE, WantedKey(f"k{n}", preset="viewer"), None) for n in range(5)]
    await ring.refresh()
    callers = [shown(ring, one.token) for one in made]
    assert [caller.name for caller in callers if caller is not None] == [f"k{n}" for n in range(5)]
    assert len(ring.fresh) == 2
    padded = b"Bearer " + b" " * 100 + made[0].token.encode()
    caller = KnownCallers(ring, Settings()).of({b"authorization": padded}, "/v1/tasks")
    assert caller is not None
    assert caller.name == "k0"
    assert padded not in ring.fresh


async def test_another_database_than_before_is_read_from_its_begin(spine: Spine, store: Store) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    kept = await hand.create(CONSOLE, WantedKey("kept", preset="viewer"), None)
    lost = await hand.create(CONSOLE, WantedKey("lost", preset="viewer"), None)
    await ring.refresh()
    await spine.run("DELETE FROM api_key WHERE name = 'lost'")
    await ring.refresh()
    await ring.refresh()
    assert refusal(ring, kept.token) is None
    assert refusal(ring, lost.token) is KeyUnknown


async def test_sessions_that_are_forgotten_keep_nobody_out(spine: Spine, store: Store) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    key = await hand.create(CONSOLE, WantedKey("ops", preset="operator"), None)
    await ring.refresh()
    caller = ring.caller(key.token.encode())
    for _ in range(2):
        await SessionHand(store, 3600.0).begin(caller)
    await ring.refresh()
    await spine.run("UPDATE api_key SET expires_at = now() - interval '2 days' WHERE session_of IS NOT NULL")
    await ring.refresh()
    async with store.transaction() as connection:
        assert await api_keys.forget_sessions(connection, 10) == 1
    await ring.refresh()
    assert refusal(ring, key.token) is None
    assert ring.caller(key.token.encode()) is caller


@pytest.mark.parametrize("name", sorted(WITHOUT_KEY))
async def test_no_key_has_the_name_of_who_calls_without_one(store: Store, name: str) -> None:
    with pytest.raises(KeyNameTaken):
        await KeyHand(store).create(CONSOLE, WantedKey(name, preset="viewer"), None)


@pytest.fixture
def until_ended() -> Callable[[KeyRing, str], Awaitable[None]]:
    async def wait(ring: KeyRing, token: str) -> None:
        await ring.until_it_ends(ring.caller(token.encode()))

    return wait


async def test_who_listens_is_told_when_the_key_ends(
    store: Store, until_ended: Callable[[KeyRing, str], Awaitable[None]]
) -> None:
    hand, ring = KeyHand(store), KeyRing(Presence(store))
    revoked = await hand.create(CONSOLE, WantedKey("revoked", preset="viewer"), None)
    brief = await hand.create(CONSOLE, WantedKey("brief", preset="viewer", expires_seconds=0.3), None)
    await ring.refresh()
    waits = asyncio.gather(until_ended(ring, revoked.token), until_ended(ring, brief.token))
    await hand.revoke(CONSOLE, revoked.key.id, None)
    await ring.refresh()
    async with asyncio.timeout(5):
        await waits

"""Whatever stands in our keys: what owns a key mends it, tasks go on, and no view breaks meanwhile.

A run takes some of the cases, by ``KEYS_SEED``, which is drawn when it is not set; with ``KEYS_ALL=1`` it takes all.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from pointsman_contract import keys
from pointsman_contract.queues import STEPS, UNACKED, UNACKED_INDEX, list_key
from pointsman_contract.states import TERMINAL
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.lookout import Lookout
from pointsman_service.alert.outage import OutageWatch
from pointsman_service.alert.rules import judge
from pointsman_service.alert.sweep import limits_of
from pointsman_service.breaker.registry import Registry
from pointsman_service.breaker.snapshot import Snapshot
from pointsman_service.errors import ExpectedFault
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.observe.views import Views
from pointsman_service.reconcile.beats import BeatWatch
from pointsman_service.reconcile.broker_keys import OF_A_QUEUE, OF_ALL, BrokerKeySweep
from pointsman_service.reconcile.lost import LostSweep
from pointsman_service.reconcile.old_claims import OldClaimsSweep
from pointsman_service.reconcile.outliers import OutlierSweep
from pointsman_service.reconcile.vanished import VanishedSweep
from pointsman_service.redis import BrokerAway, Word
from tests.integration.spine import Spine, new_task

QUEUE, LIST = "maintenance", list_key("maintenance", 7)
_HEALED_SECONDS = 5.0
_FAR = "18446744073709551615-18446744073709551614"
_LAST = "18446744073709551615-18446744073709551615"
_DEEP = "[" * 900 + "]" * 900
_BREAKER = "task_type:noop"
_TYPES = {
    "string": ("SET", "{}", "x"),
    "list": ("LPUSH", "{}", "x"),
    "hash": ("HSET", "{}", "x", "y"),
    "set": ("SADD", "{}", "x"),
    "zset": ("ZADD", "{}", "1", "x"),
    "stream": ("XADD", "{}", "*", "x", "y"),
}
_BY_TASK = {keys.CLAIM_PREFIX: "hash", keys.ONCE_PREFIX: "hash"}
_OTHERS = {keys.EVENTS_PREFIX: "stream", keys.FETCH_PREFIX: "string", keys.RATE_PREFIX: "hash"}

_SEED = int(os.environ.get("KEYS_SEED", random.randrange(1_000_000)))
_ALL = os.environ.get("KEYS_ALL") == "1"
_DRAWN = random.Random(_SEED)
_NOTHING = ("x", "", "!", "!1", "!x|{}", "!1|", "?1|x", "?1|{}", '?1|{"permits": 5}', b"\xff")
_PROVISIONAL = ("5", "null", '"x"', '"1/x"', '"0/1-1"', "[]", _DEEP)

Loop = Callable[[], Awaitable[object]]


def beat(**changes: Any) -> str:
    """A beat of the worker ``w@h``, with something wrong in it."""
    good = {
        "name": "w@h", "owner": "w@h", "pool": "p", "queues": [QUEUE], "processes": 1, "pid": 1, "host": "h",
        "started_at": 1.0, "contract": 1, "counter": 1, "consuming": 1, "epoch": 1, "running": [],
    }  # fmt: skip
    return json.dumps(good | changes)


FIELDS: dict[str, list[tuple[str | bytes, str | bytes]]] = {
    keys.CONTROL: [
        *(("epoch", word) for word in ("x", "", "-1", "0", "1.5", "1e9", "99", "2147483647", "9" * 30, b"\xff")),
        ("run_id", "x"),
        ("open", "x"),
        *(("memory_percent", word) for word in ("x", "", "101", "-1", b"\xff", "1e300")),
        *(("recorded", word) for word in ("x", "1/9", "99/9-9", f"1/{_FAR}")),
        *(("contract", word) for word in ("x", "9")),
        *((f"pause:{QUEUE}", word) for word in ("x", "9:1", "x:1", ":1", "1:1", "9" * 30 + ":1", b"\xff:1")),
        (b"pause:\xff", "1:1"),
    ],
    keys.SEQUENCE: [(LIST, word) for word in ("x", "", "1.5", str(2**63 - 1), b"\xff")],
    keys.WINDOW: [
        (QUEUE, word)
        for word in (
            "x", "", "null", "5", "[]", _DEEP, '{"limit": "x"}', '{"limit": -5}', '{"limit": 1e300}',
            '{"limit": 0, "waiting": true}', '{"sole": "x"}', '{"sole": ["x"]}', '{"sole": ["x", 1]}',
            '{"waiting": true, "sole": ["local", ""]}', b"\xff",
        )
    ],
    keys.BEATS: [
        *(("w@h", word) for word in ("x", "null", "[]", _DEEP, b"\xff", beat(owner="another"))),
        *(("w@h", beat(**{name: None})) for name in json.loads(beat())),
        *(("w@h", beat(**{name: 1e300})) for name in ("pid", "processes", "counter", "epoch", "started_at")),
        ("w@h", beat(name="\x00")),
        ("w@h", beat(running=[{"task": 1}])),
        ("w@h", beat(queues={"a": 1})),
        (b"\xff", beat()),
    ],
    keys.EJECTED: [("w@h", "1"), (b"\xff", "1")],
    keys.BREAKERS: [
        *((_BREAKER, word) for word in _NOTHING),
        *((_BREAKER, f'!1|{{"provisional": {word}}}') for word in _PROVISIONAL),
        ("default", "x"),
        (b"\xff", "!1|{}"),
    ],
    keys.BREAKER_FAILURES: [(_BREAKER, word) for word in ("x", "", "1.5", str(2**63 - 1))],
    keys.SET_ASIDE_COUNTS: [(f"open:{QUEUE}", "x"), (f"total:{QUEUE}", "-1"), ("x", "y"), (b"\xff", b"\xff")],
    keys.OUTAGE: [("x", "y"), ("id", "x"), ("since", "x"), (b"\xff", "x")],
}  # fmt: skip
"""Fields that nobody of us would write."""


class Plane:
    """A control plane and its loops, played by hand."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        store, server, settings = spine.store, spine.server, spine.settings
        liveness = Liveness(server, settings.worker_dead_seconds)
        registry = Registry(store, settings)
        self.views = Views.over(settings, store, spine.broker, server)
        self.loops: list[Loop] = [
            BrokerKeySweep(server, spine.queues).single_pass,
            spine.epochs.single_pass,
            spine.recorder.single_pass,
            spine.dispatcher.single_pass,
            BeatWatch(store, server, settings).single_pass,
            liveness.look,
            Snapshot(store, server, settings).push,
            OutlierSweep(store, server, registry, settings).single_pass,
            OldClaimsSweep(store, server).single_pass,
            LostSweep(store, spine.broker, server, liveness, settings).single_pass,
            VanishedSweep(store, spine.broker, server, liveness, settings).single_pass,
            OutageWatch(store, server, Channels(settings), settings, lambda: False).single_pass,
            self.views.readiness.read,
            self.views.broker.state,
            spine.window.refresh,
        ]

    async def turn(self) -> None:
        """One pass of each; nothing but that the broker refused may come of it."""
        for loop in self.loops:
            try:
                await loop()
            except ExpectedFault:
                continue

    async def healed(self, what: str, ends: Callable[[], Awaitable[bool]]) -> None:
        """Turn until that holds."""
        deadline = time.monotonic() + _HEALED_SECONDS
        while True:
            await self.turn()
            try:
                if await ends():
                    return
            except ExpectedFault:
                pass
            assert time.monotonic() < deadline, f"{what} is not mended"
            await asyncio.sleep(0.01)

    async def runs_a_task(self) -> bool:
        """Whether a new task goes all the way; the broker is empty then."""
        spine = self.spine
        await spine.commits.join(task := new_task())
        await spine.commits.drain()
        for _ in range(30):
            for step in STEPS:
                while (message := await spine.message(list_key(QUEUE, step))) is not None:
                    verdict = await spine.gate(message)
                    if verdict[0] == b"run":
                        assert (await spine.tell(message, verdict))[0] == b"ok"
            await self.turn()
            found = await spine.rows("SELECT state FROM task WHERE id = :id", id=task.id)
            if found and found[0]["state"] in TERMINAL:
                return bool(found[0]["state"] == "succeeded")
        return False

    async def runs_a_task_in_epoch_2(self) -> bool:
        """``runs_a_task``, once there is another epoch."""
        return await self.spine.server.command("HGET", keys.CONTROL, "epoch") == b"2" and await self.runs_a_task()

    async def fetches(self) -> bool:
        """Whether a node's fetch finds the message of a new task; it takes it off the broker."""
        spine = self.spine
        await spine.commits.join(task := new_task())
        await spine.commits.drain()
        await self.turn()
        words: list[Word] = [10, 9, len(spine.queues), *spine.queues]
        answer = await spine.server.script("fetch", [UNACKED, UNACKED_INDEX, keys.FETCH_PREFIX + "w"], ["w"], words)
        await spine.server.command("DEL", UNACKED, UNACKED_INDEX)
        await spine.run("DELETE FROM task_live")
        return any(task.id.encode() in word for word in answer[1:])


@pytest.fixture
def plane(spine: Spine) -> Plane:
    return Plane(spine)


def made(kind: str, key: str) -> tuple[str, ...]:
    """The command that makes ``key`` of a type."""
    return tuple(key if word == "{}" else word for word in _TYPES[kind])


def some(cases: Iterable[Any], most: int) -> list[Any]:
    """As many of the cases as a run takes."""
    found = list(cases)
    return found if _ALL or len(found) <= most else _DRAWN.sample(found, most)


def test_every_key_of_the_contract_is_looked_at() -> None:
    names = {value for value in vars(keys).values() if isinstance(value, str) and value.startswith("pointsman:")}
    assert names == {*OF_ALL, *OF_A_QUEUE, *_BY_TASK, *_OTHERS}


@pytest.mark.parametrize("seed", [_SEED], ids=[f"KEYS_SEED={_SEED}"])
async def test_key_of_another_type_is_made_anew_and_tasks_go_on(plane: Plane, seed: int) -> None:
    names = dict(OF_ALL) | {prefix + QUEUE: must_be for prefix, must_be in OF_A_QUEUE.items()}
    for name, must_be in names.items():
        for kind in some((kind for kind in _TYPES if kind != must_be), 1):
            await plane.spine.server.pipeline([("DEL", name), made(kind, name)])
            works = plane.fetches if name.startswith(tuple(OF_A_QUEUE)) else plane.runs_a_task
            await plane.healed(f"{kind} {name}", works)
            assert await plane.spine.server.command("TYPE", name) in (must_be.encode(), b"none")


@pytest.mark.parametrize("seed", [_SEED], ids=[f"KEYS_SEED={_SEED}"])
async def test_field_that_nobody_of_us_wrote_is_mended_and_tasks_go_on(plane: Plane, seed: int) -> None:
    for key, fields in FIELDS.items():
        for field, value in some(fields, 2):
            await plane.spine.server.command("HSET", key, field, value)
            await plane.healed(f"{key} {field!r} {value!r}"[:200], plane.runs_a_task)


async def test_beat_that_is_none_hides_no_other_and_goes(plane: Plane) -> None:
    server = plane.spine.server
    await server.command("HSET", keys.BEATS, "bad", beat(owner="bad", name=None))
    counter = 0

    async def is_seen_alone() -> bool:
        nonlocal counter
        counter += 1
        await server.command("HSET", keys.BEATS, "good", beat(name="good@h", owner="good", counter=counter))
        rows = await plane.spine.rows("SELECT name FROM worker")
        return rows == [{"name": "good@h"}] and await server.command("HKEYS", keys.BEATS) == [b"good"]

    await plane.healed("the beat", is_seen_alone)


@pytest.mark.parametrize("kind", some((kind for kind in _TYPES if kind != "stream"), 1))
async def test_event_stream_of_another_type_is_given_up_for_a_new_epoch(plane: Plane, kind: str) -> None:
    await plane.spine.server.pipeline([("DEL", keys.events(1)), made(kind, keys.events(1))])
    await plane.healed(kind, plane.runs_a_task_in_epoch_2)


@pytest.mark.parametrize("last", some([_LAST, _FAR, "99999999999999-0"], 2))
async def test_stream_at_an_id_of_the_future_is_given_up_for_a_new_epoch(plane: Plane, last: str) -> None:
    await plane.spine.server.command("XADD", keys.events(1), last, "kind", "x")
    await plane.healed(last, plane.runs_a_task_in_epoch_2)


@pytest.mark.parametrize("kind", some((kind for kind in _TYPES if kind != "hash"), 1))
async def test_claim_of_another_type_holds_up_neither_its_task_nor_others(plane: Plane, kind: str) -> None:
    spine = plane.spine
    for at in ("before the gate", "while it runs"):
        await spine.commits.join(task := new_task())
        await spine.commits.drain()
        message = await spine.message(LIST)
        assert message is not None
        spoil: list[tuple[str, ...]] = [("DEL", keys.claim(task.id)), made(kind, keys.claim(task.id))]
        if at == "before the gate":
            await spine.server.pipeline(spoil)
        verdict = await spine.gate(message)
        assert verdict[0] == b"run"
        if at == "while it runs":
            await spine.server.pipeline(spoil)
            await plane.turn()
        assert (await spine.report(message, verdict))[0] == b"ok"
        await spine.record_all()
        (row,) = await spine.rows("SELECT state FROM task WHERE id = :id", id=task.id)
        assert row["state"] == "succeeded", at


async def test_claim_with_other_content_is_no_claim(spine: Spine) -> None:
    for fields in (
        ("state", "x"), ("state", "done", "attempt", "x"), ("state", "done", "attempt", "99999"), ("state", "closed"),
        ("state", "running", "attempt", ""), ("state", ""),
    ):  # fmt: skip
        await spine.commits.join(task := new_task())
        await spine.commits.drain()
        await spine.server.command("HSET", keys.claim(task.id), *fields)
        message = await spine.message(LIST)
        assert message is not None
        assert (await spine.gate(message))[0] == b"run", fields


@pytest.mark.parametrize("key", [UNACKED, UNACKED_INDEX])
async def test_nothing_is_taken_off_its_list_that_could_not_be_held(spine: Spine, key: str) -> None:
    await spine.server.pipeline([("LPUSH", LIST, '{"properties": {"delivery_tag": "t"}}'), ("SET", key, "somebody's")])
    words: list[Word] = [10, 9, 1, QUEUE]
    fetch = "fetch", [UNACKED, UNACKED_INDEX, keys.FETCH_PREFIX + "w"], ["w"], words
    with pytest.raises(BrokerAway, match="nothing is fetched"):
        await spine.server.script(*fetch)
    assert await spine.server.command("LLEN", LIST) == 1
    await spine.server.command("DEL", key)
    assert (await spine.server.script(*fetch))[2] == b"t"


@pytest.mark.parametrize("key", [LIST, UNACKED, *some([list_key(QUEUE, 0), UNACKED_INDEX], 0)])
async def test_key_of_celery_that_is_of_another_type_is_named_and_other_queues_go_on(plane: Plane, key: str) -> None:
    spine = plane.spine
    await spine.server.command("SET", key, "somebody's")
    await plane.turn()
    await spine.commits.join(new_task())
    await spine.commits.join(other := new_task(queue="email"))
    await spine.commits.drain()
    await plane.turn()
    part = (await Views.over(spine.settings, spine.store, spine.broker, spine.server).readiness.read()).parts["broker"]
    assert (part.ok, repr(key) in part.detail, part.needed) == (False, True, key in (UNACKED, UNACKED_INDEX))
    facts = await Lookout(spine.store, spine.broker, spine.server, spine.settings).look()
    assert f"broker_key:{key}" in {one.key for one in judge(facts, limits_of(spine.settings)).conditions}
    assert await spine.server.command("GET", key) == b"somebody's"
    if key.startswith(QUEUE):
        words: list[Word] = [10, 9, len(spine.queues), *spine.queues]
        answer = await spine.server.script("fetch", [UNACKED, UNACKED_INDEX, keys.FETCH_PREFIX + "w"], ["w"], words)
        assert other.id.encode() in b"".join(answer[1:])
        assert QUEUE.encode() not in answer[0], "watching it would fail"
    await spine.server.command("DEL", key)
    assert await plane.runs_a_task()

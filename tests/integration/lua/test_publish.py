import json
from typing import Any

import pytest

from pointsman_contract import keys

from .conftest import EPOCH, Scripts

HEAD, TAIL = '{"sequence":', "}"


async def test_messages_are_numbered_per_list_and_stamped(scripts: Scripts) -> None:
    before = await scripts.now()
    first = await scripts.publish(("a", HEAD, TAIL), ("b", HEAD, TAIL), ("a", HEAD, TAIL))
    second = await scripts.publish(("a", HEAD, TAIL))
    assert first == [b"ok", 1, 1, 2]
    assert second == [b"ok", 3]
    messages = [json.loads(message) for message in await scripts.server.command("LRANGE", "a", 0, -1)]
    assert [message["sequence"] for message in messages] == [3, 2, 1]
    after = await scripts.now()
    assert all(before <= message["sent_at"] <= after for message in messages)


async def test_nothing_is_published_before_the_first_epoch(shut: Scripts) -> None:
    assert await shut.publish(("a", HEAD, TAIL)) == [b"wait", b"epoch"]
    assert await shut.server.command("LLEN", "a") == 0


async def test_nothing_is_published_during_a_census(shut: Scripts) -> None:
    await shut.declare()
    assert await shut.publish(("a", HEAD, TAIL)) == [b"wait", b"epoch"]


async def test_nothing_is_published_for_another_epoch(scripts: Scripts) -> None:
    assert await scripts.publish(("a", HEAD, TAIL), epoch=EPOCH - 1) == [b"wait", b"epoch"]


async def test_nothing_is_published_on_data_of_another_server(scripts: Scripts) -> None:
    await scripts.server.command("HSET", keys.CONTROL, "run_id", "a server before this one")
    assert await scripts.publish(("a", HEAD, TAIL)) == [b"wait", b"epoch"]


async def test_nothing_is_published_when_memory_is_short(scripts: Scripts) -> None:
    await scripts.server.command("HSET", keys.CONTROL, "memory_percent", 70)
    assert await scripts.publish(("a", HEAD, TAIL)) == [b"wait", b"memory"]
    assert await scripts.publish(("a", HEAD, TAIL), memory_limit=71) == [b"ok", 1]


async def test_what_goes_to_the_front_is_fetched_first_and_says_it_is_as_old_as_what_it_stands_before(
    scripts: Scripts,
) -> None:
    await scripts.publish(("a", '{"id":1,"sequence":', TAIL), ("a", '{"id":2,"sequence":', TAIL))
    (first,) = (json.loads(one) for one in await scripts.server.command("LRANGE", "a", -1, -1))
    early = [("a", f'{{"id":{number},"sequence":', TAIL) for number in (3, 4)]
    tail: list[Any] = [70, *early[0], *early[1], "a", '{"id":5,"sequence":', TAIL, 2]
    answer = await scripts.server.script("publish", [keys.CONTROL, keys.SEQUENCE], [EPOCH], tail)
    assert answer == [b"ok", 3, 4, 5]
    found = [json.loads(one) for one in reversed(await scripts.server.command("LRANGE", "a", 0, -1))]
    assert [one["id"] for one in found] == [3, 4, 1, 2, 5]
    assert {one["sent_at"] for one in found[:2]} == {first["sent_at"]}
    assert found[-1]["sent_at"] > first["sent_at"]


@pytest.mark.parametrize(("others", "is_first"), [(1, True), (19, True), (20, False)])
async def test_what_goes_to_the_front_goes_before_some_messages_of_somebody_else_too(
    scripts: Scripts, others: int, is_first: bool
) -> None:
    await scripts.publish(("a", HEAD, TAIL))
    (ours,) = await scripts.server.command("LRANGE", "a", 0, -1)
    await scripts.server.command("RPUSH", "a", *["a message of somebody else"] * others)
    tail: list[Any] = [70, "a", '{"id":"early","sequence":', TAIL, 1]
    await scripts.server.script("publish", [keys.CONTROL, keys.SEQUENCE], [EPOCH], tail)
    first, last = await scripts.server.command("LINDEX", "a", -1), await scripts.server.command("LINDEX", "a", 0)
    early = json.loads(first if is_first else last)
    assert early["id"] == "early"
    assert (early["sent_at"] == json.loads(ours)["sent_at"]) == is_first


@pytest.mark.parametrize("there", [None, "a message of somebody else"])
async def test_nothing_is_put_before_what_does_not_say_when_it_was_sent(scripts: Scripts, there: str | None) -> None:
    if there is not None:
        await scripts.server.command("LPUSH", "a", there)
    tail: list[Any] = [70, "a", HEAD, TAIL, 1]
    before = await scripts.now()
    await scripts.server.script("publish", [keys.CONTROL, keys.SEQUENCE], [EPOCH], tail)
    found = await scripts.server.command("LRANGE", "a", 0, -1)
    assert json.loads(found[0])["sent_at"] >= before
    assert found[1:] == ([] if there is None else [there.encode()])

import json

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

"""Permits that Redis leases, against an obvious model: what the script answers is what was counted."""

import asyncio
import random

import pytest

from pointsman_contract import keys
from pointsman_service.redis import RedisServer, Word
from tests.stand.gcra import Permits

KEY = keys.rate("billing")


async def lease(
    server: RedisServer,
    wanted: int,
    *,
    process: str = "a",
    rate: tuple[int, int, int] = (100, 60, 10),
    needed: int = 0,
    returned: int = 0,
    owed: int = 0,
    silent: int = 0,
    known: str = "",
) -> tuple[int, int, int, int]:
    tail: list[Word] = [*rate, wanted, needed, returned, owed, silent, known]
    leased, now, full, processes = map(int, await server.script("rate", [KEY], [process], tail))
    return leased, now, full, processes


@pytest.mark.parametrize("rate", [(1000, 1, 50), (7, 1, 3), (3, 1, 1), (100_000, 1, 2_000), (90_001, 7, 500)])
async def test_the_script_counts_as_the_model_does(redis_server: RedisServer, rate: tuple[int, int, int]) -> None:
    tasks, seconds, burst = rate
    dice, model = random.Random(str(rate)), Permits()
    net, owed_in_all, began = 0, 0, None
    for _ in range(300):
        needed = dice.choice([0, 0, 0, 1, burst // 3, burst])
        tail: list[Word] = [
            *rate, needed + dice.choice([0, 1, burst]), needed, dice.choice([0, 0, 1, burst // 2]),
            dice.choice([0, 0, 0, 1, burst // 2]), dice.choice([0, 10_000]), "",
        ]  # fmt: skip
        process = dice.choice("abcd")
        answer = list(map(int, await redis_server.script("rate", [KEY], [process], tail)))
        leased, now = answer[0], answer[1]
        began = began or now
        expected = list(map(int, model.lease(([KEY], [process], tail), now)))
        # The script keeps whole microseconds: the last permit may be there one of them earlier or later.
        assert abs(expected[0] - leased) <= 1
        assert model.level is not None
        model.level += expected[0] - leased
        assert model.level > -0.001 * tasks / seconds - 1e-3
        expected[2] += round((leased - expected[0]) * seconds * 1e6 / tasks)
        assert abs(expected[2] - answer[2]) <= 200, "microseconds, after hundreds of roundings"
        assert expected[3] == answer[3]
        net += leased - int(tail[5])
        owed_in_all += int(tail[6])
        assert net <= burst + (now - began) / 1e6 * tasks / seconds + 1
        if dice.random() < 0.1:
            await asyncio.sleep(0)


async def test_what_is_taken_comes_back_one_by_one(redis_server: RedisServer) -> None:
    assert (await lease(redis_server, 25))[0] == 10
    leased, now, full, _ = await lease(redis_server, 1)
    assert leased == 0
    assert 5.9e6 < full - now <= 6.0e6, "ten permits of 0.6 s"
    leased, now, full, _ = await lease(redis_server, 0, returned=4)
    assert leased == 0
    assert 3.5e6 < full - now <= 3.6e6
    assert (await lease(redis_server, 25))[0] == 4


async def test_who_wants_more_than_there_is_gets_a_share_and_a_batch_what_it_needs(redis_server: RedisServer) -> None:
    rate = (100, 60, 100)
    assert (await lease(redis_server, 101, process="a", rate=rate))[0] == 100
    assert (await lease(redis_server, 5, process="b", rate=rate))[0] == 0
    await lease(redis_server, 0, process="c", rate=rate, returned=90)
    # Two others went away with less than they wanted.
    assert (await lease(redis_server, 90, process="c", rate=rate))[0] == 30
    assert (await lease(redis_server, 50, process="d", rate=rate, needed=50))[0] == 50
    assert (await lease(redis_server, 0, process="d", rate=rate))[3] == 4


async def test_what_was_made_without_it_is_paid_for(redis_server: RedisServer) -> None:
    # A minute without Redis, in which the caller got what the rate gives: nothing is left, and nothing is owed.
    assert (await lease(redis_server, 10, owed=100, silent=54_000_000))[0] == 0
    assert (await lease(redis_server, 0))[2] > 0
    # Much more than that: it is not locked out for longer than a burst takes.
    leased, now, full, _ = await lease(redis_server, 10, owed=10_000)
    assert leased == 0
    assert full - now <= 6_000_000


async def test_an_empty_server_goes_by_what_the_process_knew(redis_server: RedisServer) -> None:
    _, _, full, _ = await lease(redis_server, 10)
    await redis_server.command("FLUSHALL")
    assert (await lease(redis_server, 10, known=str(full)))[0] == 0
    await redis_server.command("FLUSHALL")
    # Of another clock: no more than a burst is believed.
    leased, now, full, _ = await lease(redis_server, 10, known=str(full * 2))
    assert (leased, full - now) == (0, 6_000_000)


async def test_a_key_that_somebody_made_another_type_of_is_made_anew_and_idle_ones_go(
    redis_server: RedisServer,
) -> None:
    await redis_server.command("SET", KEY, "hello")
    assert (await lease(redis_server, 3))[0] == 3
    assert 60_000 <= await redis_server.command("PTTL", KEY) <= 61_000
    await lease(redis_server, 100, rate=(1, 100, 100))
    assert await redis_server.command("PTTL", KEY) > 9_000_000

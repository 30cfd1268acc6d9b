"""What callers are let through by several processes, on a clock of the test. The server is the model that
``rate.lua`` is compared with.
"""

import asyncio
import random
from collections.abc import Sequence

import pytest

from pointsman_service.api.problems.document import Problem, problem_bytes, problem_headers
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import BatchOverBurst, RateExceeded
from pointsman_service.limits import Rate
from pointsman_service.redis import ScriptCall
from pointsman_service.submit.rates import Rates
from tests.stand.gcra import ServerOfPermits


def caller(rate: str | None, burst: int | None = None, name: str = "billing") -> Caller:
    return Caller(name, KnownBy.KEY, rate=None if rate is None else Rate.of(rate, burst))


class World:
    """Processes of one installation."""

    def __init__(self, processes: int = 1, default: Rate | None = None) -> None:
        self.now = 1000.0
        self.server = ServerOfPermits(lambda: self.now)
        self.processes = [Rates(self.server, default, lambda: self.now) for _ in range(processes)]
        self.passed_at = self.now

    async def wait(self, seconds: float) -> None:
        """Time passes, and each process looks after what idles."""
        until = self.now + seconds
        while self.passed_at + 0.5 <= until:
            self.passed_at += 0.5
            self.now = self.passed_at
            for process in self.processes:
                await process.single_pass()
        self.now = until

    async def let(self, who: Caller, process: int = 0, tasks: int = 1, *, whole: bool = True) -> int:
        """How many are let through; what is asked ahead is answered before the next."""
        rates = self.processes[process]
        try:
            taken = await rates.take(who, tasks, whole=whole)
        except RateExceeded:
            taken = 0
        if rates._leasing is not None:
            await rates._leasing
        return taken

    async def load(self, who: Caller, seconds: float, a_second: float, weights: Sequence[float]) -> list[int]:
        """How many of so many tasks a second each process lets through, by its part of the load."""
        dice, admitted = random.Random(1), [0] * len(weights)
        for _ in range(round(seconds * a_second)):
            await self.wait(1 / a_second)
            (process,) = dice.choices(range(len(weights)), weights)
            admitted[process] += await self.let(who, process)
        return admitted


@pytest.mark.parametrize(("rate", "burst"), [("20/1s", 20), ("20/1s", 5), ("20/1s", 1), ("300/60s", 100)])
async def test_ten_times_the_rate_over_four_processes_is_the_rate_and_the_burst(rate: str, burst: int) -> None:
    world, who = World(4), caller(rate, burst)
    assert who.rate is not None
    limit = 60 / who.rate.each_seconds
    admitted = await world.load(who, 60, 10 / who.rate.each_seconds, [1, 1, 1, 1])
    assert 0.97 * (limit + burst) <= sum(admitted) <= (limit + burst) * 1.01
    assert min(admitted) > 0.6 * max(admitted), admitted
    assert world.server.calls < 60 * 4 * 2 / min(0.1, burst * who.rate.each_seconds / 2), "leases, and not submissions"


async def test_one_process_that_has_all_the_traffic_gets_all_of_the_rate() -> None:
    world, who = World(4), caller("20/1s", 20)
    await world.load(who, 3, 200, [1, 1, 1, 1])
    admitted = await world.load(who, 20, 200, [1, 0, 0, 0])
    assert admitted[0] >= 0.97 * 400


async def test_a_caller_below_its_rate_is_never_refused() -> None:
    world, who = World(4), caller("20/1s", 5)
    assert sum(await world.load(who, 30, 19, [1, 1, 1, 1])) == 30 * 19


async def test_who_has_no_limit_is_asked_nothing() -> None:
    world = World()
    assert await world.let(caller(None), tasks=10**9) == 10**9
    assert world.processes[0].fields(caller(None)) == []
    assert world.server.calls == 0


async def test_a_burst_at_once_is_let_through_to_the_last_and_by_one_lease() -> None:
    world, who = World(4), caller("6/60s", 50)
    rates = world.processes[0]
    answers = await asyncio.gather(*(rates.take(who) for _ in range(60)), return_exceptions=True)
    assert sum(answer == 1 for answer in answers) == 50
    assert world.server.calls == 1
    assert await world.let(who, process=1) == 0


async def test_what_a_process_does_not_use_is_given_back_within_a_second() -> None:
    world, who = World(2), caller("100/1s", 100)
    assert await world.let(who) == 1
    assert await world.let(who, 1, tasks=100, whole=False) < 100
    world, who = World(2), caller("100/100s", 100)
    assert await world.let(who, tasks=40) == 40
    world.processes[0].put_back(who, 40)
    assert await world.let(who, 1, tasks=100) == 0
    await world.wait(1.0)
    assert await world.let(who, 1, tasks=100) == 100


async def test_what_a_process_takes_with_it_when_it_dies_is_a_portion() -> None:
    world, who = World(2), caller("100/1s", 100)
    assert await world.let(who) == 1
    await world.wait(0.01)
    # The first one is dead: nobody gives back what it holds, and its tenth of a second is over in a tenth of a second.
    assert await world.let(who, 1, tasks=88, whole=False) == 88
    world.now += 0.13
    assert await world.let(who, 1, tasks=12) == 12


async def test_a_batch_takes_a_permit_for_each_task() -> None:
    world, who = World(), caller("10/10s", 100)
    assert await world.let(who, tasks=70) == 70
    assert await world.let(who, tasks=40, whole=False) == 30, "the first of them"
    with pytest.raises(RateExceeded) as later:
        await world.processes[0].take(who, 40)
    assert later.value.retry_after_seconds == 40
    await world.wait(40)
    assert await world.let(who, tasks=40) == 40
    with pytest.raises(BatchOverBurst) as never:
        await world.processes[0].take(who, 101)
    assert "can never be" in never.value.detail
    assert problem_headers(never.value) == {}


async def test_who_waits_as_long_as_is_said_is_let_through() -> None:
    world, who = World(), caller("7/20s", 3)
    assert await world.let(who, tasks=3) == 3
    for _ in range(100):
        with pytest.raises(RateExceeded) as refused:
            await world.processes[0].take(who)
        assert refused.value.retry_after_seconds in {1, 2, 3}
        await world.wait(refused.value.retry_after_seconds)
        assert await world.let(who) == 1


async def test_a_refusal_says_what_the_limit_is_and_when_to_come_again() -> None:
    world, who = World(), caller("100/60s", 2)
    assert await world.let(who, tasks=2) == 2
    with pytest.raises(RateExceeded) as refused:
        await world.processes[0].take(who)
    assert problem_headers(refused.value) == {
        "Retry-After": "1",
        "RateLimit-Policy": '"rate";q=100;w=60;pointsman-burst=2',
        "RateLimit": '"rate";r=0;t=2',
    }
    document = Problem.model_validate_json(problem_bytes(refused.value, "/v1/tasks"))
    assert (document.type, document.status) == ("urn:pointsman:problem:rate-exceeded", 429)
    assert document.detail == (
        "billing may submit 100 tasks in 60 s, and 2 at once. Nothing was stored; try again in 1 s."
    )
    await world.wait(0.7)
    assert world.processes[0].fields(who)[1] == (b"ratelimit", b'"rate";r=1;t=1')


async def test_without_redis_the_processes_share_the_rate_by_their_own_clocks_and_pay_for_it() -> None:
    world, who = World(4), caller("20/1s", 20)
    before = sum(await world.load(who, 20, 200, [1, 1, 1, 1]))
    world.server.is_away = True
    away = await world.load(who, 20, 200, [1, 1, 1, 1])
    assert 0.97 * 400 <= sum(away) <= 400 + 4 * 2, "what each held, and then the rate"
    world.server.is_away = False
    after = sum(await world.load(who, 20, 200, [1, 1, 1, 1]))
    assert before + sum(away) + after <= (60 * 20 + 20) * 1.01
    assert after >= 0.95 * 400


async def test_a_redis_that_forgot_everything_lets_nobody_begin_anew() -> None:
    world, who = World(4), caller("20/1s", 200)
    admitted = sum(await world.load(who, 30, 200, [1, 1, 1, 1]))
    world.server.permits.clear()
    admitted += sum(await world.load(who, 30, 200, [1, 1, 1, 1]))
    assert admitted <= (60 * 20 + 200) * 1.01


async def test_a_process_that_first_meets_a_caller_without_redis_shares_the_rate_as_others_do() -> None:
    world = World(4)
    await world.load(caller("20/1s", 20, "other"), 5, 200, [1, 1, 1, 1])
    world.server.is_away = True
    assert sum(await world.load(caller("20/1s", 20), 20, 200, [1, 1, 1, 1])) <= 400


async def test_a_silent_redis_lets_nobody_wait_twice() -> None:
    world, who = World(), caller("20/1s", 20)

    async def silent(name: str, calls: Sequence[ScriptCall]) -> list[list[bytes]]:
        await asyncio.Event().wait()
        return []

    world.server.scripts = silent  # type: ignore[method-assign]
    rates, loop = world.processes[0], asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(RateExceeded):
        await rates.take(who)
    assert 0.05 < loop.time() - began < 1
    began = loop.time()
    for _ in range(50):
        with pytest.raises(RateExceeded):
            await rates.take(who)
    assert loop.time() - began < 0.05
    world.now += 0.05
    assert await rates.take(who) == 1
    assert rates._leasing is not None
    rates._leasing.cancel()


async def test_another_rate_of_the_key_holds_at_once() -> None:
    world = World()
    assert await world.let(caller("100/10s"), tasks=100) == 100
    assert await world.let(caller("100/10s"), tasks=50) == 0
    await world.wait(5)
    slower = caller("1/10s", 10)
    assert await world.let(slower, tasks=50, whole=False) <= 10
    assert sum([await world.let(slower) for _ in range(20)]) <= 1
    faster = caller("1000/1s")
    assert await world.let(faster, tasks=900, whole=False) == 0
    await world.wait(1)
    assert await world.let(faster, tasks=900) == 900


async def test_the_default_is_for_keys_that_say_nothing_and_each_caller_has_its_own() -> None:
    world = World(default=Rate.of("3/60s"))
    assert await world.let(caller(None), tasks=3) == 3
    assert await world.let(caller(None)) == 0
    assert await world.let(caller(None, name="shop"), tasks=3) == 3
    assert await world.let(caller("5/60s", name="shop 2"), tasks=5) == 5


async def test_callers_that_are_gone_are_forgotten() -> None:
    world = World()
    for number in range(20):
        assert await world.let(caller("5/60s", name=f"caller {number}")) == 1
    await world.wait(130)
    assert not world.processes[0]._buckets


@pytest.mark.parametrize("text", ["", "100", "100/60", "0/60s", "100/0s", "-1/60s", "1.5/60s", "100/60s ", "१/60s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Rate.of(text)

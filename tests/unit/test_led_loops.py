import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from pointsman_service.errors import ExpectedFault
from pointsman_service.led_loops import LedLoops
from pointsman_service.loops import Loop


class Claim:
    """A lead that is given and taken by hand."""

    def __init__(self) -> None:
        self.lasts = False
        self.answer: bool | Exception = False
        self.given_up = 0

    async def leads(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.lasts = self.answer
        return self.answer

    async def give_up(self) -> None:
        self.given_up += 1


class Turns:
    """Loops that count their passes."""

    def __init__(self) -> None:
        self.made = 0
        self.passes = 0
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    def make(self) -> Sequence[Loop]:
        self.made += 1
        return [Loop("sweep", self._pass, 0.001)]

    async def _pass(self) -> bool:
        self.passes += 1
        self.begun.set()
        await self.go_on.wait()
        return False

    async def more(self) -> None:
        """Return when another pass has begun."""
        self.begun.clear()
        await asyncio.wait_for(self.begun.wait(), 10)


@pytest.fixture
def claim() -> Claim:
    return Claim()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def led(claim: Claim, turns: Turns) -> LedLoops:
    return LedLoops("test", claim, turns.make)


@asynccontextmanager
async def running(led: LedLoops) -> Any:
    stop = asyncio.Event()
    task = asyncio.create_task(led.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 10)


async def test_loops_turn_while_the_process_leads_and_rest_while_another_does(
    led: LedLoops, claim: Claim, turns: Turns
) -> None:
    await led.single_pass()
    assert (turns.made, led.stands_by, list(led.turning)) == (0, True, [])
    claim.answer = True
    await led.single_pass()
    assert [loop.name for loop in led.turning] == ["sweep"]
    for _ in range(3):
        await turns.more()
    tasks = led._tasks
    claim.answer = False
    await led.single_pass()
    assert (led.led, led.stands_by, list(led.turning)) == (False, True, [])
    assert all(task.done() for task in tasks)


async def test_loops_are_made_anew_when_the_process_leads_again(led: LedLoops, claim: Claim, turns: Turns) -> None:
    for answer in (True, False, True, True):
        claim.answer = answer
        await led.single_pass()
    assert turns.made == 2
    claim.answer = False
    await led.single_pass()


async def test_no_pass_begins_under_a_lead_that_has_run_out(led: LedLoops, claim: Claim, turns: Turns) -> None:
    claim.answer = True
    await led.single_pass()
    await turns.more()
    # The process was frozen: its clocks went on, and it has not asked yet.
    claim.lasts = False
    passes = turns.passes
    await asyncio.wait(led._tasks, timeout=10)
    assert turns.passes == passes
    await led.single_pass()
    assert turns.made == 2, "nobody else had taken it"
    claim.answer = False
    await led.single_pass()


async def test_pass_under_way_ends_before_another_process_is_said_to_lead(
    led: LedLoops, claim: Claim, turns: Turns
) -> None:
    turns.go_on.clear()
    claim.answer = True
    await led.single_pass()
    await turns.more()
    claim.answer = False
    lost = asyncio.create_task(led.single_pass())
    done, _ = await asyncio.wait([lost], timeout=0.05)
    assert not done
    turns.go_on.set()
    await asyncio.wait_for(lost, 10)
    assert turns.passes == 1


async def test_while_nobody_knows_who_leads_no_process_stands_by(led: LedLoops, claim: Claim) -> None:
    await led.single_pass()
    assert led.stands_by
    claim.answer = ExpectedFault("away")
    with pytest.raises(ExpectedFault):
        await led.single_pass()
    assert (led.stands_by, led.led) == (False, False)


async def test_last_leader_known_stays_the_one_while_the_database_is_away(led: LedLoops, claim: Claim) -> None:
    claim.answer = True
    await led.single_pass()
    claim.answer = ExpectedFault("away")
    with pytest.raises(ExpectedFault):
        await led.single_pass()
    assert led.led
    claim.answer = False
    await led.single_pass()


async def test_lead_is_given_up_once_every_pass_has_ended(led: LedLoops, claim: Claim, turns: Turns) -> None:
    claim.answer = True
    with capture_logs() as lines:
        async with running(led):
            await turns.more()
            assert claim.given_up == 0
    assert (claim.given_up, list(led.turning)) == (1, [])
    assert [line["event"] for line in lines] == ["this process leads", "this process leads no longer"]


async def test_loops_end_with_their_process(led: LedLoops, claim: Claim, turns: Turns) -> None:
    turns.go_on.clear()
    claim.answer = True
    task = asyncio.create_task(led.run(asyncio.Event()))
    await turns.more()
    (sweep,) = led._tasks
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert sweep.cancelled()


async def test_loops_that_ended_while_the_lead_was_being_renewed_turn_again(
    led: LedLoops, claim: Claim, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim.answer = True
    await led.single_pass()
    await turns.more()

    async def answers_late() -> bool:
        # The database stalls, and the lead runs out here before it says that it is still ours.
        claim.lasts = False
        await asyncio.wait(led._tasks, timeout=10)
        claim.lasts = True
        return True

    with monkeypatch.context() as stalled:
        stalled.setattr(claim, "leads", answers_late)
        await led.single_pass()
    await turns.more()
    assert (led.led, turns.made) == (True, 2)
    claim.answer = False
    await led.single_pass()


async def test_who_leads_is_known_since_the_database_last_failed_to_say(claim: Claim, turns: Turns) -> None:
    led = LedLoops("any", claim, turns.make)
    assert led.known_since is None
    await led.single_pass()
    since = led.known_since
    assert since is not None
    claim.answer = True
    await led.single_pass()
    assert led.known_since == since
    claim.answer = ExpectedFault("away")
    with pytest.raises(ExpectedFault):
        await led.single_pass()
    assert led.known_since is None
    claim.answer = False
    await led.single_pass()
    assert led.known_since is not None
    assert led.known_since > since


async def test_lead_that_could_not_be_renewed_in_time_says_nothing_of_others(claim: Claim, turns: Turns) -> None:
    led = LedLoops("any", claim, turns.make)
    claim.answer = True
    await led.single_pass()
    since = led.known_since
    claim.lasts = False
    await led.single_pass()
    assert since is not None
    assert led.known_since is not None
    assert led.known_since > since
    claim.answer = False
    await led.single_pass()

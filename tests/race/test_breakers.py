"""Circuit breakers while everything else happens."""

import asyncio
import random
from itertools import pairwise

import pytest

from pointsman_contract import keys
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome
from pointsman_service.breaker.registry import Registry
from pointsman_service.reconcile.held_by_breakers import HoldingSweep
from pointsman_service.settings import Settings
from tests.integration.tripped import KEY, LIST, SMTP, Holding
from tests.race.world import World

PERMITS = 3
ASKING = 64


@pytest.fixture
def settings(settings: Settings) -> Settings:
    policy = settings.circuit_breaker.model_copy(update={"half_open_permits": PERMITS, "half_open_successes": PERMITS})
    return settings.model_copy(update={"circuit_breaker": policy})


async def test_at_most_so_many_probes_run_at_once_with_64_asking(race: World, seed: int) -> None:
    """Every message is on the broker already; 64 ask at the gate while the leader leases permits."""
    spine = race.spine
    holding = Holding(spine)
    order = random.Random(seed)
    tasks = [await holding.store_waiting() for _ in range(ASKING)]
    await spine.dispatcher.single_pass()
    messages = [await spine.message(LIST) for _ in tasks]
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    await holding.sweep.single_pass()
    order.shuffle(messages)
    verdicts = await asyncio.gather(*(spine.gate(message) for message in messages if message is not None))
    assert {verdict[0] for verdict in verdicts} == {b"held"}
    await spine.record_all()
    running = 0
    other = HoldingSweep(spine.store, spine.server, spine.settings)
    for _ in range(4):
        await asyncio.gather(holding.sweep.single_pass(), other.single_pass())
        await spine.dispatcher.single_pass()
        while message := await spine.message(LIST):
            again = await asyncio.gather(*(spine.gate(message, token=f"t{i}") for i in range(ASKING)))
            running += sum(verdict[0] == b"run" for verdict in again)
        await spine.record_all()
    assert running == PERMITS
    (row,) = await spine.rows("SELECT count(*) AS running FROM task_live WHERE state = 'running'")
    assert row["running"] == PERMITS


async def test_64_other_services_get_no_more_permits_than_there_are(race: World, seed: int) -> None:
    spine = race.spine
    holding = Holding(spine)
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    registries = [Registry(spine.store, spine.settings) for _ in range(4)]
    asked = [registries[number % 4].lease(KEY, f"{seed}-{number}") for number in range(ASKING)]
    granted = await asyncio.gather(*asked)
    assert sum(one for _, one in granted) == PERMITS


async def test_forced_open_stands_whatever_the_breaker_does_by_itself(race: World, seed: int) -> None:
    """The last probe succeeds in the moment in which somebody forces it open."""
    spine = race.spine
    holding = Holding(spine)
    await holding.open(*KEY)
    await holding.half_open(*KEY)
    for number in range(PERMITS):
        await holding.registry.lease(KEY, f"p{number}")

    async def succeed() -> None:
        for number in range(PERMITS):
            await Registry(spine.store, spine.settings).record(KEY, [Outcome(Kind.SUCCESS, permit=f"p{number}")])

    await race.play(succeed(), holding.force(*KEY, BreakerState.FORCED_OPEN), holding.sweep.single_pass())
    (row,) = await spine.rows("SELECT seen FROM breaker")
    assert row["seen"] == "forced_open"
    await holding.sweep.single_pass()
    assert (await spine.server.command("HGET", keys.BREAKERS, SMTP)).startswith(b"!")
    history = await spine.rows("SELECT epoch, before, after FROM breaker_transition ORDER BY id")
    assert [line["epoch"] for line in history] == sorted({line["epoch"] for line in history})
    assert all(one["after"] == two["before"] for one, two in pairwise(history))

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from pointsman_service.observe.roles import LedRole, unled_seconds
from pointsman_service.store.leadership import Leadership, Presence, StandIn
from pointsman_service.store.metrics import watching
from pointsman_service.store.store import Store
from tests.stand.waiting import until

NAME = "anything"
LONG = 3600.0
QUICK = 0.4


class Contenders:
    """Processes that want the same lead, each with a presence of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.presences: list[Presence] = []

    def another(self, ttl_seconds: float = LONG) -> Leadership:
        self.presences.append(Presence(self.store))
        return Leadership(self.presences[-1], NAME, ttl_seconds)

    def stand_in(self, ttl_seconds: float = LONG) -> StandIn:
        self.presences.append(Presence(self.store))
        return StandIn(self.store, self.presences[-1], "stand-in", NAME, ttl_seconds)

    async def run(self, sql: str, **values: object) -> None:
        async with self.store.statement() as connection:
            await connection.execute(text(sql), values)

    async def value(self, sql: str) -> object:
        async with self.store.statement() as connection:
            return (await connection.execute(text(sql))).scalar_one()

    async def holder(self) -> object:
        return await self.value("SELECT holder FROM leader")

    async def unled(self) -> float:
        """Seconds since the dispatcher led, whose name it has in this."""
        async with self.store.statement() as connection:
            await connection.execute(text("UPDATE leader SET name = 'dispatcher' WHERE name = :name"), {"name": NAME})
            found = unled_seconds(await watching.leads(connection), 5.0)
            await connection.execute(text("UPDATE leader SET name = :name WHERE name = 'dispatcher'"), {"name": NAME})
        return found[LedRole.DISPATCHER]

    async def break_connection(self, presence: Presence) -> None:
        """As when the process that has it is killed: the server ends it and lets its locks go."""
        async with presence.statement() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await self.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)


@pytest.fixture
async def contenders(store: Store) -> AsyncIterator[Contenders]:
    made = Contenders(store)
    yield made
    async with AsyncExitStack() as exits:
        for presence in made.presences:
            exits.push_async_callback(presence.close)


async def test_one_of_many_leads(contenders: Contenders) -> None:
    many = [contenders.another() for _ in range(5)]
    for _ in range(3):
        assert sum(await asyncio.gather(*(one.leads() for one in many))) == 1
    assert sum(one.lasts for one in many) == 1


async def test_lead_that_is_given_up_is_taken_at_once(contenders: Contenders) -> None:
    first, second = contenders.another(), contenders.another()
    assert await first.leads()
    assert not await second.leads()
    await first.give_up()
    assert not first.lasts
    assert await second.leads()
    assert not await first.leads()


async def test_holder_whose_connection_ended_is_replaced_long_before_its_time(contenders: Contenders) -> None:
    first, second = contenders.another(), contenders.another()
    assert await first.leads()
    assert not await second.leads()
    await contenders.break_connection(contenders.presences[0])
    assert await second.leads()


async def test_frozen_holder_is_replaced_after_its_time_and_no_sooner(contenders: Contenders) -> None:
    frozen, second = contenders.another(QUICK), contenders.another()
    began = time.monotonic()
    assert await frozen.leads()
    await until(second.leads, "the lead to be taken")
    assert time.monotonic() - began >= QUICK
    assert not frozen.lasts
    assert not await frozen.leads()


async def test_lead_is_not_taken_from_a_holder_that_renews_it(contenders: Contenders) -> None:
    first, second = contenders.another(ttl_seconds=3.0), contenders.another()
    ends: set[object] = set()

    async def renewed() -> bool:
        assert await first.leads()
        if await second.leads():
            raise RuntimeError("two lead")
        ends.add(await contenders.value("SELECT expires_at FROM leader"))
        return len(ends) > 2

    await until(renewed, "the lead to be renewed twice")


async def test_holder_of_the_release_before_is_replaced_at_once(contenders: Contenders) -> None:
    await contenders.run("INSERT INTO leader VALUES (:name, 'old:1:0', 7, now() + interval '1 hour')", name=NAME)
    assert await contenders.another().leads()


async def test_release_before_takes_a_lead_that_has_run_out_as_ever(contenders: Contenders) -> None:
    new = contenders.another()
    assert await new.leads()
    await new.give_up()
    await contenders.run("""
        INSERT INTO leader AS old VALUES ('anything', 'old:1:0', 1, now() + interval '5 seconds')
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = old.fence + 1
        WHERE old.expires_at < now()
    """)
    assert await contenders.holder() == "old:1:0"


async def test_holder_whose_connection_broke_leads_on_by_another(contenders: Contenders) -> None:
    lead = contenders.another(ttl_seconds=0.001)
    assert await lead.leads()
    before = await contenders.holder()
    await contenders.break_connection(contenders.presences[0])

    async def again() -> bool:
        try:
            return await lead.leads()
        except Exception:
            return False

    await until(again, "the lead to be renewed")
    assert await contenders.holder() != before
    await lead.give_up()
    assert await contenders.another().leads()


async def test_a_server_that_keeps_the_lock_of_a_broken_connection_keeps_nobody_from_leading_on(
    contenders: Contenders,
) -> None:
    lead, other = contenders.another(ttl_seconds=0.001), contenders.another()
    assert await lead.leads()
    before = await contenders.holder()
    await contenders.break_connection(contenders.presences[0])
    async with contenders.store.statement() as ghost:
        await ghost.execute(text("SELECT pg_advisory_lock(hashtextextended(:holder, 0))"), {"holder": before})
        await contenders.run("UPDATE leader SET expires_at = now() + interval '1 hour'")
        assert not await other.leads()

        async def again() -> bool:
            try:
                return await lead.leads()
            except Exception:
                return False

        await until(again, "the lead to be renewed")
        await ghost.execute(text("SELECT pg_advisory_unlock_all()"))


async def test_process_that_stands_by_writes_nothing(contenders: Contenders) -> None:
    first, second = contenders.another(), contenders.another()
    assert await first.leads()
    async with contenders.store.statement() as connection:
        row = text("SELECT xmin::text, xmax::text, ctid::text FROM leader")
        before = (await connection.execute(row)).one()
        for _ in range(3):
            assert not await second.leads()
        assert (await connection.execute(row)).one() == before


async def test_lock_goes_with_its_presence(contenders: Contenders) -> None:
    first, second = contenders.another(), contenders.another()
    assert await first.leads()
    await contenders.presences[0].close()
    assert await second.leads()


async def test_nobody_stands_in_while_somebody_leads(contenders: Contenders) -> None:
    leader, stand_ins = contenders.another(), [contenders.stand_in() for _ in range(3)]
    assert await leader.leads()
    assert not any([await one.leads() for one in stand_ins])
    assert await contenders.value("SELECT count(*) FROM leader") == 1, "they have written something"


async def test_one_stands_in_for_a_leader_that_is_gone_until_there_is_another(contenders: Contenders) -> None:
    leader, stand_ins = contenders.another(), [contenders.stand_in(ttl_seconds=0.3) for _ in range(3)]
    assert await leader.leads()
    await leader.give_up()
    assert sum(await asyncio.gather(*(one.leads() for one in stand_ins))) == 1
    assert sum([await one.leads() for one in stand_ins]) == 1
    assert await contenders.another().leads()
    assert not any([await one.leads() for one in stand_ins])
    assert not any(one.lasts for one in stand_ins)


async def test_another_stands_in_when_the_one_that_did_dies(contenders: Contenders) -> None:
    first, second = contenders.stand_in(), contenders.stand_in()
    assert await first.leads()
    assert not await second.leads()
    await contenders.break_connection(contenders.presences[0])
    assert await second.leads()


async def test_process_that_ended_in_order_is_told_from_one_that_died(contenders: Contenders) -> None:
    leader = contenders.another(ttl_seconds=5.0)
    assert await leader.leads()
    assert await contenders.unled() == 0.0
    await contenders.run("UPDATE leader SET expires_at = now() - interval '4 seconds'")
    assert 9.0 <= await contenders.unled() < 60
    await contenders.run("DELETE FROM leader")
    assert await contenders.unled() == float("inf")
    again = contenders.another(ttl_seconds=5.0)
    assert await again.leads()
    await again.give_up()
    assert await contenders.unled() < 4.0, "it was there until now"

"""A worker whose failures stand out: judged in Postgres, told to Redis."""

import asyncio
from collections.abc import Sequence

import pytest

from pointsman_contract import keys
from pointsman_service.breaker.breaker import BreakerState, Kind, Outcome, Override
from pointsman_service.breaker.registry import Registry
from pointsman_service.reconcile.breakers import BreakerSweep
from pointsman_service.reconcile.outliers import OutlierSweep
from pointsman_service.store.breakers.ejections import SCOPE
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine

NAMES = ("bad@h", "good@h")


@pytest.fixture
def spine(closed_spine: Spine) -> Spine:
    """All stages; no epoch is needed."""
    return closed_spine


@pytest.fixture
def registry(spine: Spine) -> Registry:
    return Registry(spine.store, spine.settings)


@pytest.fixture
def sweep(spine: Spine, registry: Registry) -> OutlierSweep:
    return OutlierSweep(spine.store, spine.server, registry, spine.settings)


async def lives(spine: Spine, *names: str, pool: str = "pool", age: float = 0.0, start: int = 1) -> None:
    """These nodes were seen so many seconds ago."""
    for name in names:
        await spine.run(
            "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
            " VALUES (:owner, :name, :pool, '{maintenance}', 1, 7, 'h', 1, now() + :start * interval '1 second',"
            " now() - CAST(:age AS float8) * interval '1 second')",
            owner=f"{name}#{start}",
            name=name,
            pool=pool,
            age=age,
            start=start,
        )


async def did(spine: Spine, name: str, calls: int, failures: int, start: int = 1, age: float = 0.0) -> None:
    """A node ran tasks in the last seconds."""
    await spine.run(
        "INSERT INTO worker_outcome AS old VALUES (date_bin('10 s', now() - CAST(:age AS float8) * interval '1 second',"
        " 'epoch'), :owner, 'noop', :calls, :failures) ON CONFLICT (bucket, worker, task_type) DO UPDATE"
        " SET calls = old.calls + excluded.calls, failures = old.failures + excluded.failures",
        owner=f"{name}#{start}",
        calls=calls,
        failures=failures,
        age=age,
    )


async def states(spine: Spine) -> dict[str, str]:
    rows = await spine.rows("SELECT name, seen FROM breaker WHERE scope = 'worker' ORDER BY name")
    return {row["name"]: row["seen"] for row in rows}


async def told(spine: Spine) -> set[str]:
    return {name.decode() for name in await spine.server.command("HKEYS", keys.EJECTED)}


async def history(spine: Spine, name: str = "bad@h") -> list[tuple[str, str]]:
    rows = await spine.rows("SELECT before, after FROM breaker_transition WHERE name = :name ORDER BY id", name=name)
    return [(row["before"], row["after"]) for row in rows]


async def let_wait_pass(spine: Spine, registry: Registry) -> None:
    await spine.run(
        "UPDATE breaker SET turns_at = now(), machine = jsonb_set(machine, '{retry_at}',"
        " to_jsonb(extract(epoch FROM now())::float8)) WHERE seen = 'open'"
    )
    await BreakerSweep(registry).single_pass()


async def bad_one(spine: Spine, names: Sequence[str] = NAMES) -> None:
    """Everybody lives, and the first one fails."""
    await lives(spine, *names)
    await did(spine, names[0], 30, 30)
    for name in names[1:]:
        await did(spine, name, 30, 0)


async def ejected(spine: Spine, sweep: OutlierSweep, names: Sequence[str] = NAMES) -> None:
    await bad_one(spine, names)
    await sweep.single_pass()
    assert (await states(spine))[names[0]] == "open"


async def test_worker_whose_failures_stand_out_is_ejected_and_redis_is_told(spine: Spine, sweep: OutlierSweep) -> None:
    await ejected(spine, sweep)
    assert await states(spine) == {"bad@h": "open"}
    assert await told(spine) == {"bad@h", keys.EJECTED_KNOWN}
    (row,) = await spine.rows("SELECT reason, actor FROM breaker_transition")
    assert row == {"reason": "30 of 30 calls failed; as other workers do, 0.0 would have", "actor": "breaker"}


async def test_failures_of_all_alike_eject_nobody(spine: Spine, sweep: OutlierSweep) -> None:
    await lives(spine, *NAMES)
    for name in NAMES:
        await did(spine, name, 100, 100)
    await sweep.single_pass()
    assert await states(spine) == {}
    assert await told(spine) == {keys.EJECTED_KNOWN}


@pytest.mark.parametrize(("size", "most"), [(1, 0), (2, 1), (3, 1), (4, 2)])
async def test_at_most_half_of_a_pool_is_ejected(spine: Spine, sweep: OutlierSweep, size: int, most: int) -> None:
    names = [f"bad{n}@h" for n in range(size)]
    await lives(spine, *names)
    await lives(spine, *(f"good{n}@h" for n in range(6)), pool="other")
    for name in names:
        await did(spine, name, 30, 30)
    for n in range(6):
        await did(spine, f"good{n}@h", 30, 0)
    await sweep.single_pass()
    assert len(await states(spine)) == most


async def test_dead_and_stopping_workers_do_not_count_as_half_of_a_pool(spine: Spine, sweep: OutlierSweep) -> None:
    await bad_one(spine)
    await lives(spine, "dead@h", age=60)
    await spine.run("UPDATE worker SET last_seen_at = now() - interval '1 minute' WHERE name = 'good@h'")
    await lives(spine, "ending@h")
    await beat(spine, "ending@h#1", 1, 1, name="ending@h", stopping=True)
    await sweep.single_pass()
    assert await states(spine) == {}


async def test_two_sweeps_at_once_eject_no_more_than_half(spine: Spine, registry: Registry) -> None:
    names = ["bad0@h", "bad1@h", "good0@h"]
    await lives(spine, *names)
    await did(spine, "bad0@h", 30, 30)
    await did(spine, "bad1@h", 30, 30)
    await did(spine, "good0@h", 60, 0)
    sweeps = [OutlierSweep(spine.store, spine.server, registry, spine.settings) for _ in range(2)]
    # As when the first was frozen and believes that it leads.
    await asyncio.gather(*[sweep.single_pass() for sweep in sweeps])
    assert list((await states(spine)).values()) == ["open"]
    assert len(await spine.rows("SELECT id FROM breaker_transition")) == 1


async def test_redis_that_lost_its_data_is_told_again(spine: Spine, sweep: OutlierSweep) -> None:
    await ejected(spine, sweep)
    await spine.server.command("FLUSHALL")
    await sweep.single_pass()
    assert await told(spine) == {"bad@h", keys.EJECTED_KNOWN}


async def test_what_nobody_wants_is_taken_out_of_redis(spine: Spine, sweep: OutlierSweep) -> None:
    await spine.server.command("HSET", keys.EJECTED, "stray@h", "1")
    await sweep.single_pass()
    assert await told(spine) == {keys.EJECTED_KNOWN}


async def test_after_its_wait_it_is_on_probation_and_its_old_failures_do_not_count(
    spine: Spine, sweep: OutlierSweep, registry: Registry
) -> None:
    await ejected(spine, sweep)
    await sweep.single_pass()
    assert await spine.rows("SELECT * FROM worker_outcome WHERE worker = 'bad@h#1'") == []
    await let_wait_pass(spine, registry)
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "half_open"}
    assert await told(spine) == {keys.EJECTED_KNOWN}


async def test_good_calls_on_probation_admit_it(spine: Spine, sweep: OutlierSweep, registry: Registry) -> None:
    await ejected(spine, sweep)
    await let_wait_pass(spine, registry)
    await sweep.single_pass()
    await did(spine, "bad@h", 9, 0)
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "half_open"}
    await did(spine, "bad@h", 1, 0)
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "closed"}
    assert await history(spine) == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


async def test_failures_on_probation_eject_it_for_longer(spine: Spine, sweep: OutlierSweep, registry: Registry) -> None:
    await ejected(spine, sweep)
    await let_wait_pass(spine, registry)
    await sweep.single_pass()
    await did(spine, "bad@h", 3, 3)
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "open"}
    entry = await registry.find((SCOPE, "bad@h"))
    assert entry is not None
    assert entry.breaker.trips == 2
    (row,) = await spine.rows("SELECT extract(epoch FROM turns_at - now())::float8 AS left FROM breaker")
    assert 110 < row["left"] < 133


async def test_node_that_was_started_anew_is_not_judged_by_what_it_did_before(
    spine: Spine, sweep: OutlierSweep
) -> None:
    await bad_one(spine)
    await lives(spine, "bad@h", start=2)
    await did(spine, "bad@h", 30, 0, start=2)
    await sweep.single_pass()
    assert await states(spine) == {}


async def test_pool_that_lost_its_other_worker_gets_the_ejected_one_back(spine: Spine, sweep: OutlierSweep) -> None:
    await ejected(spine, sweep)
    await spine.run("UPDATE worker SET last_seen_at = now() - interval '1 minute' WHERE name = 'good@h'")
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "half_open"}
    assert await told(spine) == {keys.EJECTED_KNOWN}


async def test_reports_of_other_services_do_not_empty_a_pool_either(
    spine: Spine, sweep: OutlierSweep, registry: Registry
) -> None:
    await lives(spine, *NAMES)
    for name in NAMES:
        await registry.record((SCOPE, name), [Outcome(Kind.FAILURE)] * 5)
    assert await states(spine) == dict.fromkeys(NAMES, "open")
    await sweep.single_pass()
    assert sorted((await states(spine)).values()) == ["half_open", "open"]


async def test_worker_that_somebody_disabled_is_never_ejected(
    spine: Spine, sweep: OutlierSweep, registry: Registry
) -> None:
    override = Override(BreakerState.DISABLED, "local", "its failures are known")
    await registry.change((SCOPE, "bad@h"), lambda entry, now: entry.breaker.force(override, now))
    await bad_one(spine)
    await sweep.single_pass()
    assert await states(spine) == {"bad@h": "disabled"}


async def test_when_ejection_is_switched_off_everybody_is_admitted(
    spine: Spine, sweep: OutlierSweep, registry: Registry
) -> None:
    await ejected(spine, sweep)
    off = spine.settings.model_copy(update={"outlier_ejection": False})
    await OutlierSweep(spine.store, spine.server, registry, off).single_pass()
    assert await states(spine) == {"bad@h": "closed"}
    assert await told(spine) == {keys.EJECTED_KNOWN}


async def test_no_more_breakers_than_allowed_are_made(spine: Spine, registry: Registry) -> None:
    await bad_one(spine)
    full = Registry(spine.store, spine.settings.model_copy(update={"breakers_most": 0}))
    await OutlierSweep(spine.store, spine.server, full, spine.settings).single_pass()
    assert await states(spine) == {}
    assert await told(spine) == {keys.EJECTED_KNOWN}


@pytest.mark.parametrize(
    ("seen", "age", "kept"),
    [("half_open", "2 days", False), ("half_open", "2 hours", True), ("forced_open", "2 days", True),
     ("forced_open", "8 days", False)],
)  # fmt: skip
async def test_worker_that_never_came_back_is_forgotten(
    spine: Spine, sweep: OutlierSweep, seen: str, age: str, kept: bool
) -> None:
    await spine.run(
        "INSERT INTO breaker (scope, name, seen, machine, updated_at)"
        f" VALUES ('worker', 'gone@h', :seen, '{{}}', now() - interval '{age}'),"
        f" ('dependency', 'gone@h', :seen, '{{}}', now() - interval '{age}')",
        seen=seen,
    )
    await sweep.single_pass()
    assert ("gone@h" in await states(spine)) is kept
    assert len(await spine.rows("SELECT name FROM breaker WHERE scope = 'dependency'")) == 1


async def test_while_the_recorder_counts_what_is_forgotten_nobody_waits(spine: Spine, sweep: OutlierSweep) -> None:
    await ejected(spine, sweep)
    await did(spine, "bad@h", 1, 1)
    async with spine.store.transaction() as recorder:
        await recorder.exec_driver_sql("SELECT 1 FROM worker_outcome FOR UPDATE")
        await asyncio.wait_for(sweep.single_pass(), 5)

"""Whatever stands in the event stream: the recorder goes on, and what is no event changes nothing.

``ENTRIES`` says how many a seed makes (1,500), ``ENTRIES_SEED`` which; it is drawn when it is not set.
"""

import os
import random
import time
from typing import Any

import httpx
import pytest
import redis

from pointsman_contract import keys
from pointsman_contract.queues import list_key
from pointsman_service.alert.lookout import Lookout
from pointsman_service.record.events import LONGEST_ENTRY
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.store import StatementRefused
from pointsman_service.store.streams import left_out
from pointsman_service.store.streams.left_out import Reason
from tests.integration.read.conftest import application, fronted
from tests.integration.record.entry_grammar import Grammar
from tests.integration.spine import Spine, new_task

_ENTRIES = int(os.environ.get("ENTRIES", "1500"))
_SEED = int(os.environ.get("ENTRIES_SEED", random.randrange(1_000_000)))
_TOGETHER = 500
_STALL_SECONDS = 5.0
_MAINTENANCE = list_key("maintenance", 7)
_TABLES = (
    "task_live", "task", "task_attempt", "native_run", "task_metrics", "task_metrics_delta", "worker_outcome",
    "task_metrics_hour", "task_metrics_day", "task_metrics_by_minute", "task_metrics_by_hour", "task_metrics_by_day",
    "breaker", "breaker_transition", "task_type", "worker_catalogue", "worker",
)  # fmt: skip


async def everything(spine: Spine) -> dict[str, list[str]]:
    """Every row that an event may change."""
    return {
        table: [row["row"] for row in await spine.rows(f"SELECT t::text AS row FROM {table} t ORDER BY 1")]
        for table in _TABLES
    }


async def counted(spine: Spine) -> dict[str, int]:
    """What was left out, by why."""
    async with spine.store.statement() as connection:
        return {str(reason): entries for reason, entries in (await left_out.counts(connection)).items() if entries}


async def message_of(spine: Spine) -> dict[str, Any]:
    """The message of a new task."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(_MAINTENANCE)
    assert message is not None
    return message


@pytest.mark.parametrize("seed", [_SEED], ids=[f"seed={_SEED}"])
async def test_what_is_no_event_changes_nothing_and_makes_nobody_wait(spine: Spine, seed: int) -> None:
    sent, started, good = [await message_of(spine) for _ in range(3)]
    await spine.gate(started)
    await spine.record_all()
    rollup = Rollup(spine.store, spine.settings)
    await rollup.single_pass()
    before = await everything(spine)
    tasks = [message["headers"]["id"] for message in (sent, started)]
    (row,) = await spine.rows("SELECT extract(epoch FROM now())::float8 AS now")
    grammar = Grammar(seed, tasks, row["now"])
    batches = max(1, _ENTRIES // _TOGETHER)
    for _ in range(batches):
        entries = [grammar.entry() for _ in range(_TOGETHER)]
        await spine.server.pipeline([("XADD", keys.events(1), "*", *entry) for entry in entries])
        began = time.monotonic()
        await spine.record_all()
        assert time.monotonic() - began < _STALL_SECONDS
    assert await rollup.single_pass() is False
    assert await everything(spine) == before
    assert await counted(spine) == {"unreadable": batches * _TOGETHER}
    verdict = await spine.gate(good)
    await spine.report(good, verdict)
    await spine.record_all()
    (row,) = await spine.rows("SELECT state FROM task WHERE id = :id", id=good["headers"]["id"])
    assert row["state"] == "succeeded"


async def native(spine: Spine, task_type: str) -> None:
    """Tell of a plain Celery task."""
    told = {"task_type": task_type, "queue": "maintenance", "worker": "w@h", "state": "SUCCESS", "run_seconds": 0.1}
    await spine.append("native", "an-id", **told)


async def test_entry_that_the_database_refuses_is_left_out_and_its_neighbours_are_not(spine: Spine) -> None:
    await spine.run("ALTER TABLE native_run ADD CHECK (task_type <> 'refused')")
    for number in range(20):
        await native(spine, "refused" if number in (3, 4, 17) else "noop")
    await spine.record_all()
    assert await spine.rows("SELECT count(*)::int AS n FROM native_run") == [{"n": 17}]
    assert (await spine.counters())["native"] == 17
    assert await counted(spine) == {"refused": 3}


async def test_schema_that_lacks_a_column_loses_no_entry(spine: Spine) -> None:
    await spine.run("ALTER TABLE native_run RENAME COLUMN run_seconds TO another")
    await native(spine, "noop")
    with pytest.raises(StatementRefused):
        await spine.recorder.single_pass()
    await spine.run("ALTER TABLE native_run RENAME COLUMN another TO run_seconds")
    await spine.record_all()
    assert await spine.rows("SELECT count(*)::int AS n FROM native_run") == [{"n": 1}]
    assert await counted(spine) == {}


async def test_entry_that_is_too_long_is_not_read(spine: Spine) -> None:
    await native(spine, "noop")
    # Not with our connection, which gives up after two seconds: so long 40 MB may take on a busy machine.
    with redis.Redis.from_url(spine.settings.require_redis_url()) as connection:
        connection.xadd(keys.events(1), {"kind": "native", "body": b"x" * (5 * LONGEST_ENTRY)})
    await native(spine, "noop")
    while await spine.server.command("XLEN", keys.events(1)):
        _, entries, _ = await spine.recorder._read()
        assert sum(len(word) for entry in entries for word in entry[1]) < LONGEST_ENTRY
        await spine.recorder.single_pass()
    assert await spine.rows("SELECT count(*)::int AS n FROM native_run") == [{"n": 2}]
    assert await counted(spine) == {"too_long": 1}


@pytest.mark.parametrize("declared", ["x", "-1", "", "99", str(2**64)])
async def test_recorder_goes_to_no_epoch_that_was_never_declared(spine: Spine, declared: str) -> None:
    await spine.server.command("HSET", keys.CONTROL, "epoch", declared)
    for _ in range(3):
        await spine.recorder.single_pass()
    assert await spine.rows("SELECT stream FROM recorder_position") == [{"stream": keys.events(1)}]


async def test_what_is_left_out_is_an_alert_and_a_metric(spine: Spine) -> None:
    async def told() -> tuple[int | None, list[str]]:
        facts = await Lookout(spine.store, spine.broker, spine.server, spine.settings).look()
        transport = httpx.ASGITransport(fronted(application(spine)))
        async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as api:
            lines = (await api.get("/metrics")).text.splitlines()
        return facts.left_out, [line for line in lines if line.startswith("pointsman_events_left_out_total")]

    assert await told() == (0, [f'pointsman_events_left_out_total{{reason="{reason}"}} 0.0' for reason in Reason])
    for _ in range(2):
        await spine.server.command("XADD", keys.events(1), "*", "kind", "x")
    await spine.record_all()
    # As a leader renews it.
    await spine.run("DELETE FROM exposed_metrics")
    entries, lines = await told()
    assert entries == 2
    assert lines[0] == 'pointsman_events_left_out_total{reason="unreadable"} 2.0'

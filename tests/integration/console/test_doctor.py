"""``python -m pointsman_service doctor`` beside real servers, with things broken for real."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.console.doctor.examination import examine
from pointsman_service.console.doctor.finding import Finding, Level
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.observe.roles import LEADS
from pointsman_service.settings import Settings
from pointsman_service.store.leadership import Leadership, Presence
from pointsman_service.store.queues import pausing
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.condition import upkeep_condition
from pointsman_service.store.upkeep.partitions import ensure_partitions
from pointsman_service.store.upkeep.revision import head
from pointsman_service.store.workers import catalogue, parents
from tests.integration.spine import Spine, new_task
from tests.stand.environment import ROOT

SERVERS = {"postgresql.durability": Level.FAULT, "redis.aof": Level.WARNING, "redis.memory": Level.WARNING}
"""What is wrong with the servers that tests have: a crash of the machine is nothing they survive."""
_LONGEST_SECONDS = 8.0


@pytest.fixture
async def installation(spine: Spine, settings: Settings) -> AsyncIterator[Presence]:
    """Somebody leads in every role, and a worker of every queue lives."""
    presence = Presence(spine.store)
    for name in LEADS.values():
        assert await Leadership(presence, name, 30.0).leads()
    queues = [queue.name for queue in settings.topology.queues]
    async with spine.store.transaction() as connection:
        await ensure_partitions(connection)
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="echo", time_limit_seconds=300)])
        await parents.saw(connection, [await beat(spine, "w@h#1", "compact@h", queues)])
    yield presence
    await presence.close()


async def beat(spine: Spine, owner: str, name: str, queues: list[str], contract: int = 1, host: str = "h") -> Any:
    """A worker says in Redis that it lives: answers what it said, for what PostgreSQL knows of it."""
    said = {
        "owner": owner, "name": name, "pool": "compact", "queues": queues, "processes": 4, "pid": 1, "host": host,
        "contract": contract, "started_at": time.time(), "counter": 1, "consuming": 1, "epoch": 1, "running": [],
    }  # fmt: skip
    await spine.server.command("HSET", keys.BEATS, owner, json.dumps(said))
    return said


async def found(settings: Settings) -> dict[str, Finding]:
    """The findings, by what was looked at."""
    return {one.check: one for one in await examine(settings, [])}


async def test_an_installation_that_is_well_has_no_fault(installation: Presence, settings: Settings) -> None:
    lines = await found(settings)
    assert {check: one.level for check, one in lines.items() if one.level is not Level.OK} == SERVERS | {
        "channels": Level.WARNING
    }
    assert lines["postgresql.schema"].says == f"the schema is at {head()}, the newest"
    assert lines["leaders.recorder"].says.startswith(f"process {os.getpid()} on ")
    assert lines["leaders.recorder"].says.endswith(" s, leads"), "and since when it is there"
    assert lines["queues.email"].says == "4 processes take from it; nothing waits"
    assert lines["workers.contract"].says == "every node speaks contract version 1"
    assert "are free on its disk" in lines["postgresql.disk"].says, "the server is on this machine"
    assert installation.names


async def test_each_thing_that_is_broken_is_found(installation: Presence, spine: Spine, settings: Settings) -> None:
    async def line(check: str) -> Finding:
        return (await found(settings))[check]

    await spine.server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        evicting = await line("redis.eviction")
    finally:
        await spine.server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert (evicting.level, evicting.what_to_do) == (Level.FAULT, "Set maxmemory-policy noeviction.")

    async with spine.store.statement() as connection:
        await pausing.set_paused(connection, "email", paused=True, reason="provider moves", actor="ops")
        await parents.saw(connection, [await beat(spine, "w@g#2", "email@g", ["email"], contract=7, host="g")])
    await spine.run("UPDATE worker SET last_seen_at = now() - interval '60 seconds' WHERE owner = 'w@h#1'")
    await spine.commits.join(new_task())
    await spine.run("UPDATE task_live SET due_at = now() - interval '90 seconds'")
    await spine.run("CREATE INDEX ix_task_spare ON ONLY task (queue)")
    lines = await found(settings)
    assert lines["postgresql.indexes"].level is Level.WARNING
    assert "_spare" in lines["postgresql.indexes"].says
    assert lines["queues.email"].level is Level.WARNING
    assert "paused by ops" in lines["queues.email"].says
    assert lines["queues.maintenance"].level is Level.FAULT
    waits = re.fullmatch(
        "No live worker takes tasks from maintenance: what is submitted to it is accepted and waits; the oldest task"
        r" has waited for (\d+) s",
        lines["queues.maintenance"].says,
    )
    assert waits is not None
    assert int(waits[1]) >= 90
    assert lines["workers.contract"].says.startswith("email@g speak a contract version")
    assert lines["workers"].says.endswith("silent within the last hour: compact@h")

    await spine.run("UPDATE broker_epoch SET run_id = 'of the server before'")
    assert (await line("epoch")).level is Level.WARNING

    await installation.close()
    died = await line("leaders.recorder")
    assert died.level is Level.WARNING
    assert "its connection is gone" in died.says

    await spine.run("ALTER TABLE queue_pause DROP COLUMN reason CASCADE")
    await spine.run("UPDATE alembic_version SET version_num = 'before'")
    schema = await line("postgresql.schema")
    assert (schema.level, schema.says) == (
        Level.FAULT, f"the schema is at before, not at {head()}; it lacks queue_pause.reason",
    )  # fmt: skip


async def test_each_role_that_is_missing_is_a_fault(settings: Settings) -> None:
    levels = {check: one.level for check, one in (await found(settings)).items()}
    assert {levels[f"leaders.{role}"] for role in LEADS} == {Level.FAULT}
    assert levels["task_types"] is Level.FAULT
    assert levels["postgresql.partitions"] is Level.FAULT, "nobody has made any"


async def test_transaction_that_is_open_for_long_is_found(store: Store) -> None:
    async with store.transaction() as held:
        pid = (await held.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        async with store.statement() as connection:
            (found,) = (await upkeep_condition(connection, long_seconds=0.0)).long_transactions
            assert (await upkeep_condition(connection)).long_transactions == ()
    assert (found.pid, found.application, found.state) == (pid, "test", "idle in transaction")


async def test_without_one_server_the_other_is_examined_and_in_time(
    settings: Settings, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    for server, gone, there in ((postgres, "postgresql", "redis"), (valkey, "redis", "postgresql")):
        os.kill(server.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            lines = await found(settings)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert time.monotonic() - began < _LONGEST_SECONDS
        assert (lines[gone].level, lines[there].level) == (Level.FAULT, Level.OK)
        assert lines[f"{gone}.version"].level is Level.UNKNOWN
        assert lines[f"{there}.version"].level is Level.OK
        assert lines["epoch"].level is Level.UNKNOWN
        assert lines["leaders.recorder"].level is (Level.UNKNOWN if server is postgres else Level.FAULT)


async def test_command_prints_json_keeps_passwords_and_exits_by_the_worst(redis_url: str) -> None:
    place = urlsplit(redis_url)
    answer = await doctor(
        POINTSMAN_DATABASE_URL="postgresql://app:hunter2-and-more@127.0.0.1:1/x",
        POINTSMAN_REDIS_URL=f"redis://:hunter2-and-more@{place.hostname}:{place.port}/0",
    )
    assert answer.returncode == 2, answer.stderr
    document = json.loads(answer.stdout)
    assert (document["status"], answer.stderr) == ("fault", "")
    lines = {one["check"]: one for one in document["findings"]}
    assert lines["postgresql"]["says"].startswith("PostgreSQL does not answer (ConnectionRefusedError")
    assert lines["redis"]["level"] == "fault"
    assert "hunter2" not in answer.stdout


async def test_command_names_a_bad_setting_as_a_fault() -> None:
    answer = await doctor(POINTSMAN_PORT="x")
    assert answer.returncode == 2
    (line,) = json.loads(answer.stdout)["findings"]
    assert (line["check"], line["level"]) == ("settings", "fault")
    assert line["says"].startswith("POINTSMAN_PORT: ")


async def doctor(**variables: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "pointsman_service", "doctor", "--json")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_")} | variables
    return await asyncio.to_thread(
        subprocess.run, words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )

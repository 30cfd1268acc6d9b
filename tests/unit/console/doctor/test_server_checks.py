"""What the doctor makes of facts about PostgreSQL and Redis, without either."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pointsman_service.console.doctor.clock_checks import clock
from pointsman_service.console.doctor.finding import Finding, Level, Unknown, exit_status
from pointsman_service.console.doctor.postgres_checks import (
    DiskFacts,
    SchemaFacts,
    disk,
    indexes,
    postgres,
    schema,
    upkeep,
)
from pointsman_service.console.doctor.redis_checks import redis, size
from pointsman_service.console.doctor.redis_facts import RedisFacts, facts_of
from pointsman_service.console.doctor.settings_checks import bad_settings, settings
from pointsman_service.settings import Settings
from pointsman_service.store.upkeep.condition import LongTransaction, ServerCondition, UpkeepCondition
from pointsman_service.store.upkeep.indexes import LackingIndex

GIB = 1024**3
WELL = ServerCondition(
    version=180_001, is_standby=False, read_only=False, fsync=True, full_page_writes=True, synchronous_commit="on",
    autovacuum=True, connections=20, ours=18, most_connections=97, transaction_age=5_000_000, multixact_age=10,
    freeze_age=200_000_000, pid=1, started_at=0.0, ahead_seconds=0.001, unsure_seconds=0.002,
)  # fmt: skip
UPKEEP = UpkeepCondition(
    today=date(2026, 11, 28), newest_day=date(2026, 12, 5), live_rows=100, dead_rows=900,
    vacuumed_at=datetime(2026, 11, 28, tzinfo=UTC), bytes=3 * GIB, long_transactions=(),
)  # fmt: skip
INFO = (
    b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0\r\nrun_id:abc\r\nredis_mode:standalone\r\n"
    b"used_memory:1048576\r\nmaxmemory:1073741824\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nloading:0\r\n"
    b"aof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\nconnected_clients:12\r\nmaxclients:10000\r\nrole:master"
)
REDIS = facts_of(INFO, [b"3", b"abc", b"1", b"1"], b"3600", 2, ahead_seconds=0.0, unsure_seconds=0.001)


def levels(found: Iterable[Finding]) -> dict[str, Level]:
    """The findings that are not ok, by what was looked at."""
    return {one.check: one.level for one in found if one.level is not Level.OK}


def of_redis(**fields: str) -> RedisFacts:
    return replace(REDIS, info={**REDIS.info, **fields})


def test_a_server_that_is_well_is_ok_in_every_line() -> None:
    given = Settings()
    found = [*postgres(WELL, given), *upkeep(UPKEEP, WELL), *redis(REDIS, given), *settings(given, [])]
    assert levels(found) == {}
    assert exit_status(found) == 0
    assert not any(one.what_to_do for one in found)


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"version": 140_010}, "postgresql.version", Level.FAULT),
        ({"version": 190_000}, "postgresql.version", Level.WARNING),
        ({"is_standby": True}, "postgresql", Level.FAULT),
        ({"read_only": True}, "postgresql", Level.FAULT),
        ({"fsync": False}, "postgresql.durability", Level.FAULT),
        ({"full_page_writes": False}, "postgresql.durability", Level.FAULT),
        ({"synchronous_commit": "off"}, "postgresql.durability", Level.FAULT),
        ({"connections": 80}, "postgresql.connections", Level.WARNING),
        ({"most_connections": 25}, "postgresql.connections", Level.WARNING),
        ({"transaction_age": 310_000_000}, "postgresql.wraparound", Level.WARNING),
        ({"multixact_age": 1_600_000_000}, "postgresql.wraparound", Level.FAULT),
        ({"ahead_seconds": -3.0}, "postgresql.clock", Level.WARNING),
        ({"ahead_seconds": 90.0}, "postgresql.clock", Level.FAULT),
    ],
)
def test_each_trouble_of_postgres_is_one_line_that_says_what_to_do(
    changes: dict[str, Any], check: str, level: Level
) -> None:
    found = postgres(replace(WELL, **changes), Settings())
    assert levels(found) == {check: level}
    assert all(one.what_to_do for one in found if one.level is level)


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"newest_day": date(2026, 11, 29)}, "postgresql.partitions", Level.WARNING),
        ({"newest_day": date(2026, 11, 27)}, "postgresql.partitions", Level.FAULT),
        ({"newest_day": None}, "postgresql.partitions", Level.FAULT),
        ({"dead_rows": 1_000_000}, "postgresql.vacuum", Level.WARNING),
        (
            {"long_transactions": (LongTransaction(7, "psql", "idle in transaction", 90.0),)},
            "postgresql.transactions",
            Level.WARNING,
        ),
        ({"long_transactions": (LongTransaction(7, "", "", 9000.0),)}, "postgresql.transactions", Level.FAULT),
    ],
)
def test_what_grows_in_postgres_is_found(changes: dict[str, Any], check: str, level: Level) -> None:
    assert levels(upkeep(replace(UPKEEP, **changes), WELL)) == {check: level}


def test_autovacuum_that_is_off_is_a_fault() -> None:
    assert levels(upkeep(UPKEEP, replace(WELL, autovacuum=False))) == {"postgresql.vacuum": Level.FAULT}


def test_a_long_transaction_is_named_with_what_ends_it() -> None:
    held = replace(UPKEEP, long_transactions=(LongTransaction(7, "psql", "idle in transaction", 90.0),))
    (line,) = [one for one in upkeep(held, WELL) if one.check == "postgresql.transactions"]
    assert line.says == "a transaction of process 7 (psql) has been open for 90 s, idle in transaction"
    assert "pg_terminate_backend(7)" in line.what_to_do


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (50 * GIB, 100 * GIB, Level.OK),
        (14 * GIB, 100 * GIB, Level.WARNING),
        (4 * GIB, 100 * GIB, Level.FAULT),
        (GIB // 4, GIB, Level.FAULT),
    ],
)
def test_disk_that_runs_out_is_told_before_it_has(free: int, total: int, level: Level) -> None:
    assert disk(UPKEEP, DiskFacts(free, total)).level is level


def test_disk_of_another_machine_is_said_to_be_not_known() -> None:
    line = disk(UPKEEP, Unknown("it is not on this machine"))
    assert (line.level, line.says) == (
        Level.OK,
        "the database has 3.0 GiB; what is left on its disk is not known: it is not on this machine",
    )


def test_schema_that_lacks_something_is_a_fault_and_one_that_is_only_another_is_not() -> None:
    assert schema(SchemaFacts("b", "b", ())).level is Level.OK
    assert schema(SchemaFacts("a", "b", ())).level is Level.WARNING
    line = schema(SchemaFacts("a", "b", ("task.x", *(f"task.{n}" for n in range(9)))))
    assert line.level is Level.FAULT
    assert line.says == "the schema is at a, not at b; it lacks task.x, task.0, task.1, task.2, task.3 and 5 more"
    assert "python -m pointsman_service migrate" in line.what_to_do


def test_indexes_that_a_migration_left_to_be_built_are_named_with_the_command() -> None:
    assert indexes(SchemaFacts("b", "b", ())).level is Level.OK
    assert indexes(SchemaFacts("a", "b", ("task.x",))).level is Level.UNKNOWN
    left = tuple(LackingIndex(f"task_2026112{day}", "ix_task_facets", "USING gin (x)", GIB) for day in range(7))
    one, line = indexes(SchemaFacts("b", "b", (), left[:1])), indexes(SchemaFacts("b", "b", (), left))
    assert (one.level, line.level) == (Level.WARNING, Level.WARNING)
    assert one.says.startswith("1 index of ended tasks is still to be built, on 1.0 GiB of rows: task_20261120_facets.")
    assert "7 indexes of ended tasks are still to be built, on 7.0 GiB" in line.says
    assert line.says.count("_facets") == 5
    assert "and 2 more." in line.says
    assert line.what_to_do.endswith("python -m pointsman_service index")


@pytest.mark.parametrize(
    ("facts", "check", "level"),
    [
        (of_redis(maxmemory_policy="allkeys-lru"), "redis.eviction", Level.FAULT),
        (of_redis(maxmemory_policy=""), "redis.eviction", Level.FAULT),
        (of_redis(aof_enabled="0"), "redis.aof", Level.WARNING),
        (of_redis(aof_last_write_status="err"), "redis.aof", Level.FAULT),
        (of_redis(maxmemory="0"), "redis.memory", Level.WARNING),
        (of_redis(used_memory=str(int(0.65 * GIB))), "redis.memory", Level.WARNING),
        (of_redis(used_memory=str(int(0.75 * GIB))), "redis.memory", Level.FAULT),
        (of_redis(connected_clients="9000"), "redis.clients", Level.WARNING),
        (of_redis(valkey_version="7.2.4"), "redis.version", Level.FAULT),
        (of_redis(redis_mode="cluster"), "redis.role", Level.FAULT),
        (of_redis(role="slave"), "redis.role", Level.FAULT),
        (replace(REDIS, ahead_seconds=2.0), "redis.clock", Level.WARNING),
    ],
)
def test_each_trouble_of_redis_is_one_line_that_says_what_to_do(facts: RedisFacts, check: str, level: Level) -> None:
    found = redis(facts, Settings())
    assert levels(found) == {check: level}
    assert all(one.what_to_do for one in found if one.level is level)


def test_redis_itself_is_known_by_its_own_version() -> None:
    without = {name: value for name, value in REDIS.info.items() if name != "valkey_version"}
    old = replace(REDIS, info=without | {"redis_version": "6.2.1"})
    assert levels(redis(old, Settings())) == {"redis.version": Level.FAULT}
    assert levels(redis(replace(REDIS, info=without), Settings())) == {}


def test_server_that_is_away_is_one_fault_and_the_rest_is_not_known() -> None:
    for found in (postgres(Unknown("refused"), Settings()), redis(Unknown("refused"), Settings())):
        assert [one.level for one in found] == [Level.FAULT, *[Level.UNKNOWN] * (len(found) - 1)]
        assert "refused" in found[0].says
        assert exit_status(found) == 2
        assert exit_status(found[1:]) == 0


def test_a_clock_is_not_blamed_for_a_slow_network() -> None:
    assert clock("c", "PostgreSQL", 1.9, 1.0).level is Level.OK
    assert clock("c", "PostgreSQL", 2.1, 1.0).level is Level.WARNING
    assert "behind" in clock("c", "PostgreSQL", -5.0, 0.1).says


def test_what_redis_holds_that_is_not_ours_says_nothing() -> None:
    strange = facts_of(b"nonsense", [b"x", b"\xff", None, None], b"soon", 0, ahead_seconds=0.0, unsure_seconds=0.0)
    assert (strange.epoch, strange.is_open, strange.visibility_timeout_seconds, strange.run_id) == (
        None,
        False,
        None,
        "",
    )


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"host": "0.0.0.0", "allowed_hosts": ("*",)}, "any name"),
        ({"worker_dead_seconds": 4.0}, "worker_dead_seconds"),
        ({"alert_memory_percent": 70}, "alert_memory_percent"),
        ({"idempotency_wait_seconds": 5.0}, "idempotency_wait_seconds"),
        ({"database_timeout_seconds": 90.0}, "database_timeout_seconds"),
        ({"leader_seconds": 30.0}, "leader_seconds"),
        ({"alert_sla_objective": 0.9}, "sla_fast_burn"),
        ({"alert_repeat_seconds": 90_000.0}, "alert_repeat_seconds"),
    ],
)
def test_a_valid_setting_that_does_harm_is_a_warning(given: dict[str, Any], word: str) -> None:
    found = settings(Settings(**given), [])
    assert [one.level for one in found] == [Level.WARNING]
    assert word in found[0].says


def test_a_bad_setting_is_a_fault_and_a_name_that_is_none_a_warning() -> None:
    assert exit_status(bad_settings(["port: Input should be a valid integer"])) == 2
    roles = settings(Settings(oidc_roles={"oncall": ("operater",)}), [])
    assert (exit_status(roles), "the role oncall has operater" in roles[0].says) == (2, True)
    assert levels(settings(Settings(), ["POINTSMAN_PROT: there is no such setting"])) == {
        "settings.names": Level.WARNING
    }


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 B"), (2048, "2 KiB"), (5 * GIB, "5.0 GiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_bytes_for_people(number: int, words: str) -> None:
    assert size(number) == words

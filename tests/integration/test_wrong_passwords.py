"""Who has a wrong password for PostgreSQL or Redis finds the server's own words, and the password nowhere."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from pydantic import SecretStr
from structlog.testing import capture_logs

from pointsman_service.alert.facts import Facts
from pointsman_service.alert.rules import judge
from pointsman_service.alert.sweep import limits_of
from pointsman_service.broker import Broker
from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.errors import DatabaseAway
from pointsman_service.observe.broker_state import BrokerWatch
from pointsman_service.observe.readiness import ReadinessWatch
from pointsman_service.observe.workers import WorkerWatch
from pointsman_service.redis import BrokerAway, RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.schema import NotMigrated, migrate

WRONG = "hunter2-and-more"
REFUSED = 'InvalidPasswordError: password authentication failed for user "guarded"'
"""The words of PostgreSQL."""


@pytest.fixture
async def guarded(postgres: PostgresServer, settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a wrong password for PostgreSQL, and no Redis."""
    owner = Store(create_engine(settings, "test"))
    hba = postgres.data_dir / "pg_hba.conf"
    before = hba.read_text(encoding="utf-8")

    async def run(sql: str) -> None:
        async with owner.statement() as connection:
            await connection.exec_driver_sql(sql)

    await run("CREATE ROLE guarded LOGIN PASSWORD 'the right one'")
    hba.write_text("local all guarded scram-sha-256\n" + before, encoding="utf-8")
    await run("SELECT pg_reload_conf()")
    url = urlsplit(settings.require_database_url())
    wrong = f"{url.scheme}://guarded:{WRONG}@{url.path}?{url.query}"
    yield settings.model_copy(update={"database_url": SecretStr(wrong)})
    hba.write_text(before, encoding="utf-8")
    await run("SELECT pg_reload_conf()")
    await run("DROP ROLE guarded")
    await owner.close()


@pytest.fixture
def locked(valkey: ValkeyServer, redis_url: str) -> Iterator[str]:
    """The URL of a Redis that has a password, with a wrong one."""
    with redis.Redis.from_url(redis_url) as owner:
        owner.config_set("requirepass", "the right one")
        try:
            yield redis_url.replace("://", f"://:{WRONG}@", 1)
        finally:
            with redis.Redis.from_url(redis_url, password="the right one") as again:
                again.config_set("requirepass", "")


def broker_of(server: RedisServer) -> Broker:
    return Broker(server, ["maintenance"], 70)


def words(logged: list[Any]) -> list[str]:
    return [line["reason"] for line in logged if line["event"] == "a server cannot be used"]


async def test_wrong_password_of_postgres_is_said_once_in_its_own_words(guarded: Settings) -> None:
    store = Store(create_engine(guarded, "test"))
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(DatabaseAway) as away:
                async with store.statement():
                    pass
    assert words(logged) == [REFUSED]
    assert away.value.said == REFUSED
    assert "guarded" not in str(away.value), "a caller is not told who we are there"
    assert WRONG not in f"{logged}{away.value}"
    await store.close()


async def test_readiness_tells_the_words_of_postgres(guarded: Settings, redis_server: RedisServer) -> None:
    store = Store(create_engine(guarded, "test"))
    broker = BrokerWatch(broker_of(redis_server), redis_server)
    found = await ReadinessWatch(store, broker, WorkerWatch(store, broker, guarded), guarded).read()
    assert found.parts["database"].detail == f"the database is away: {REFUSED}"
    await store.close()


async def test_migrate_tells_the_words_of_postgres_in_one_line(guarded: Settings) -> None:
    with pytest.raises(NotMigrated) as refused:
        await migrate(guarded.require_database_url())
    assert str(refused.value).endswith(f"was not brought to head: {REFUSED}.")
    assert "\n" not in str(refused.value)
    assert WRONG not in str(refused.value)


@pytest.mark.parametrize("password", [True, False], ids=["wrong", "none"])
async def test_password_that_redis_refuses_is_said_once_by_log_readiness_and_alert(
    locked: str, redis_url: str, settings: Settings, password: bool
) -> None:
    server = RedisServer(locked if password else redis_url, 2.0)
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(BrokerAway):
                await server.run_id()
        state = await BrokerWatch(broker_of(server), server).state()
    (said,) = words(logged)
    assert said.startswith("AuthenticationError: ")
    assert state.reason == said
    (alert,) = judge(Facts(now=0.0, broker_up=False, broker_reason=state.reason), limits_of(settings)).conditions
    assert f"({said})" in alert.summary
    assert WRONG not in f"{logged}{alert}"
    await server.close()


async def test_server_that_can_be_used_again_is_said_once(locked: str, redis_url: str) -> None:
    server = RedisServer(locked, 2.0)
    with capture_logs() as logged:
        with pytest.raises(BrokerAway):
            await server.run_id()
        with redis.Redis.from_url(redis_url, password="the right one") as owner:
            owner.config_set("requirepass", WRONG)
            await server.run_id()
            await server.run_id()
            owner.config_set("requirepass", "the right one")
    told = [line["event"] for line in logged if line.get("server") == "Redis"]
    assert told == ["a server cannot be used", "a server can be used again"]
    await server.close()

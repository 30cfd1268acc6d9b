"""Real servers for tests: started once a session, with a fresh database and an empty Redis for each test."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import structlog
from pydantic import SecretStr

from pointsman_service.database import create_engine
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.schema import migrate
from tests.stand.environment import keep_bytecode
from tests.stand.servers import QuickPostgres, quick_place
from tests.stand.signals import hear_signals
from tests.stand.waiting import SLOWEST

TEMPLATE = "migrated"

hear_signals()
keep_bytecode()
gc.disable()
# Not the pretty traceback, which a line of the log of a test has by default: each takes seconds to draw.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a slow machine end its tests: the limit is for what hangs."""
    if config.getoption("timeout") is not None:
        return
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0] if marker is not None else config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(limit * SLOWEST), append=False)


def pytest_collection_finish() -> None:
    """What was read and made until here stays. To look it through for garbage, again and again, took a sixth of the
    time that tests of the API take.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running PostgreSQL. A test that kills it need not start it again: ``database_url`` does."""
    with quick_place(tmp_path_factory.mktemp("postgres")) as place, QuickPostgres(place / "data") as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A running Valkey. A test that kills it need not start it again: ``redis_url`` does."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey") / "data", appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
async def migrated_template(postgres: PostgresServer) -> str:
    """Name of a database at the head of the migrations, to be copied."""
    await migrate(postgres.create_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres: PostgresServer, migrated_template: str) -> Iterator[str]:
    """SQLAlchemy URL of a migrated database of this test's own."""
    url = postgres.start().create_database(template=migrated_template)
    yield url
    postgres.start().drop_database(urlsplit(url).path.removeprefix("/"))


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """URL of an empty Redis."""
    with redis.Redis.from_url(valkey.start().url) as connection:
        connection.flushall()
    return valkey.url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that lead to this test's servers, everything else at its default."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POINTSMAN_{name.upper()}", raising=False)
    return Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        data_dir=tmp_path,
        record_wait_seconds=0.01,
    )


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """The store over ``database_url``."""
    opened = Store(create_engine(settings, "test"))
    yield opened
    await opened.close()


@pytest.fixture
async def redis_server(settings: Settings) -> AsyncIterator[RedisServer]:
    """A connection to ``redis_url``."""
    opened = RedisServer(settings.require_redis_url(), settings.redis_timeout_seconds)
    yield opened
    await opened.close()

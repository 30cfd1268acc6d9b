"""Seeds: ``RACE_SEEDS`` says how many each race gets (2), ``RACE_SEED`` the first of them, drawn when it is not set."""

import os
import random
from collections.abc import AsyncIterator

import pytest

from pointsman_service.database import create_engine
from pointsman_service.settings import Settings
from tests.integration.spine import Spine
from tests.race.interleave import SteppedRedis, SteppedStore
from tests.race.world import World
from tests.torture import audit

_SEEDS = int(os.environ.get("RACE_SEEDS", "2"))
_FIRST = int(os.environ.get("RACE_SEED", random.randrange(1_000_000)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each race under several seeds; the name of a failed one says which."""
    if "seed" in metafunc.fixturenames:
        seeds = range(_FIRST, _FIRST + _SEEDS)
        metafunc.parametrize("seed", seeds, ids=[f"seed={seed}" for seed in seeds])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """What was left behind is found at once, and a race needs many connections."""
    return settings.model_copy(update={"outbox_age_seconds": 0.05, "database_connections": 16})


@pytest.fixture
async def race(settings: Settings, seed: int) -> AsyncIterator[World]:
    """A world in an open epoch whose steps the seed orders, and whose every row is watched."""
    store = SteppedStore(create_engine(settings, "race"))
    server = SteppedRedis(settings.require_redis_url(), settings.redis_timeout_seconds)
    async with store.transaction() as connection:
        await audit.install(connection)
    spine = Spine(store, server, settings)
    await spine.open_epoch()
    yield World(spine, seed)
    await spine.commits.drain()
    await server.close()
    await store.close()

from collections.abc import AsyncIterator

import pytest

from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from tests.integration.spine import Spine


@pytest.fixture
async def closed_spine(store: Store, redis_server: RedisServer, settings: Settings) -> AsyncIterator[Spine]:
    """All stages, no epoch yet."""
    spine = Spine(store, redis_server, settings)
    yield spine
    await spine.commits.drain()


@pytest.fixture
async def spine(closed_spine: Spine) -> Spine:
    """All stages, in an open epoch."""
    await closed_spine.open_epoch()
    return closed_spine

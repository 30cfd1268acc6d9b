from collections.abc import AsyncIterator

import httpx
import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.workers import catalogue
from tests.integration.read.conftest import application, fronted
from tests.integration.spine import Spine


@pytest.fixture
async def api(closed_spine: Spine) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, which knows the task type ``noop``. Shares the stages of ``spine``."""
    async with closed_spine.store.statement() as connection:
        await catalogue.publish(
            connection, "w@h#1", [TaskTypeSpec(name="noop", queue="maintenance", time_limit_seconds=30)]
        )
    transport = httpx.ASGITransport(fronted(application(closed_spine)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as client:
        yield client

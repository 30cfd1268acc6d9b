from collections.abc import AsyncIterator

import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.workers import catalogue
from tests.integration.access.keyed import Keyed
from tests.integration.spine import Spine


@pytest.fixture
async def keyed(spine: Spine) -> AsyncIterator[Keyed]:
    """An installation that asks for keys, and knows the task types ``mine`` and ``theirs``."""
    specs = [
        TaskTypeSpec(name=name, queue="email", time_limit_seconds=30, extra_positional=True)
        for name in ("mine", "theirs")
    ]
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", specs)
    made = Keyed(spine)
    yield made
    await made.ring._presence.close()
    await spine.commits.drain()

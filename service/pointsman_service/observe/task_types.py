"""One task type as it was published last, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from pointsman_service.store.workers.catalogue import Publisher

MOST_PUBLISHERS = 50

__all__ = ["MOST_PUBLISHERS", "PublishedType", "Publisher", "find"]


@dataclass(frozen=True, slots=True)
class PublishedType:
    """A task type in the version that counts."""

    spec: TaskTypeSpec
    last_published_at: datetime
    version: str
    """What tells it from its other versions."""
    publishers: Sequence[Publisher]
    """Starts of nodes that offer it in any version, at most ``MOST_PUBLISHERS``, the one that was seen last first."""


async def find(store: Store, name: str) -> PublishedType | None:
    """The task type of that name; None: nobody has published it. Raises the store's errors."""
    if "\0" in name:
        return None
    async with store.statement() as connection:
        found = await catalogue.find_version(connection, name)
        if found is None:
            return None
        return PublishedType(*found, await catalogue.publishers(connection, name, MOST_PUBLISHERS))

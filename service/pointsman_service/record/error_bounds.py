"""No task type gets groups without end: one whose message is another each time fills a few, and then the one of the
rest.
"""

import time
from collections.abc import Mapping

from pointsman_service.failures.fingerprint import rest_of
from pointsman_service.store.errors import bounding
from pointsman_service.store.store import Connection

MOST_A_DAY = 100
"""Groups that a task type gets within a day; more of its failures go to one group."""
_TRUSTED_SECONDS = 3600.0
"""A group that was there is there for so long: only one that has been quiet for weeks leaves."""
_MOST_KNOWN = 20_000


class GroupBounds:
    """What one recorder knows of the groups that are stored."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def forget(self) -> None:
        """Ask of every group again: the database may be another than it was, as after a backup was put back."""
        self._known.clear()

    async def settle(self, connection: Connection, groups: Mapping[str, str]) -> tuple[set[str], dict[str, str]]:
        """Of these groups (by id, the task type) those that are stored; and by id, which one stands for it where its
        task type has got too many of late. Asks the database only for what it has not seen lately.
        """
        now = time.monotonic()
        asked = {group for group in groups if self._known.get(group, 0.0) < now}
        if not asked:
            return set(groups), {}
        there = await bounding.there(connection, asked)
        if len(self._known) > _MOST_KNOWN:
            self.forget()
        self._known |= dict.fromkeys(there, now + _TRUSTED_SECONDS)
        new = sorted(asked - there)
        if not new:
            return set(groups), {}
        begun = await bounding.begun_lately(connection, {groups[group] for group in new}, MOST_A_DAY)
        instead = {}
        for group in new:
            task_type = groups[group]
            begun[task_type] += 1
            if begun[task_type] > MOST_A_DAY:
                instead[group] = rest_of(task_type)
        return set(groups) - set(new), instead

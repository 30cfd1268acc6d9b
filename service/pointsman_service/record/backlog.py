"""Keeps the numbers of the backlog short to read, and true."""

import time

from pointsman_service.loops import Loop
from pointsman_service.settings import Settings
from pointsman_service.store.queues import backlog
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_DELTAS_A_PASS = 10_000
_MEND_SECONDS = 60.0
_REST = 100.0
"""Counting the rows takes at most a hundredth of one connection's time, however many wait."""
_NAMED = 5


class BacklogRollup:
    """Folds what was added to the backlog. Safe in every process: a pass holds an advisory lock, and moves each delta
    in one transaction.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.loop = Loop("backlog rollup", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Fold up to 10,000 deltas; True when there may be more."""
        async with self._store.transaction() as connection:
            return await backlog.fold(connection, _DELTAS_A_PASS) == _DELTAS_A_PASS


class BacklogMending:
    """Counts the rows now and then, at first at once: what a process of an older release moved, or somebody by hand,
    is not in the numbers. Safe in every process, as ``BacklogRollup``.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._not_before = float("-inf")
        self.loop = Loop("backlog mending", self.single_pass, settings.sweep_interval_seconds)

    async def single_pass(self) -> bool:
        """Count, and set right what is wrong, when it is time; never more to do at once."""
        began = time.monotonic()
        if began < self._not_before:
            return False
        try:
            async with self._store.transaction() as connection:
                mended = await backlog.mend(connection)
        finally:
            # Also when it fails: a database that is slow with it is not asked again at once.
            self._not_before = max(began + _MEND_SECONDS, began + (_REST + 1) * (time.monotonic() - began))
        if mended:
            log.warning(
                "numbers of unfinished tasks were wrong and are set right: an older release moved tasks, or somebody",
                numbers=len(mended),
                first=[_in_words(one) for one in mended[:_NAMED]],
            )
        return False


def _in_words(one: backlog.Mended) -> str:
    return " ".join(filter(None, (one.queue, one.state, one.held_reason, f"{one.tasks:+}")))

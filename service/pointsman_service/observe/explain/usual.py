"""How long runs of each task type usually take."""

from collections.abc import Mapping

from pointsman_service.errors import ExpectedFault
from pointsman_service.observe import task_metrics
from pointsman_service.observe.durations import durations
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.store.store import Store

_WINDOW_SECONDS = 86_400.0
_KEPT_SECONDS = 60.0
_REST = 10.0
_WAIT_SECONDS = 0.02
"""Nobody waits longer for it: who asks while it is looked up hears what was known before."""
_FIRST_WAIT_SECONDS = 1.0
"""The same while nothing was known before: it is said of a type that its usual run is not known, or what it is, and
never the one and then the other because it came a little late.
"""


class UsualRuns:
    """Of the last day, looked up at most once a minute."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = Kept(self._ask, _KEPT_SECONDS, _REST)
        self._known: Mapping[str, float] | None = None

    async def p95_by_type(self) -> Mapping[str, float]:
        """The 95th percentile of run time in seconds by task type; those of which no run ended are absent, and all
        where PostgreSQL does not say it within a second.
        """
        seconds = _FIRST_WAIT_SECONDS if self._known is None else _WAIT_SECONDS
        try:
            return await within(seconds, self._kept.get())
        except (NotInTime, ExpectedFault):
            return self._known or {}

    async def _ask(self) -> Mapping[str, float]:
        sums = await task_metrics.read(self._store, "task_type", _WINDOW_SECONDS)
        found = {one.task_type or "": durations(one.run, one.counts["run_seconds_sum"]).p95 for one in sums}
        known = {name: p95 for name, p95 in found.items() if p95 is not None}
        self._known = known
        return known

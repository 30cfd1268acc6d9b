"""Sums of hours for the first page: asked once or twice a minute, for they change slowly."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pointsman_contract.server_words import server_words
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.now.picture import LastHour, Shift
from pointsman_service.now.shifts import shifts
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.sla import attainment
from pointsman_service.observe.views import Views
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_KEPT_SECONDS = 40.0
_REST = 20.0
_FIRST_SECONDS = 1.0
_WAIT_SECONDS = 0.02
"""Nobody waits longer for what is known."""
_OLD_SECONDS = 2 * _KEPT_SECONDS
_HOUR = 3600.0
_LATELY = 900.0
_BEFORE = 6 * _HOUR


@dataclass(frozen=True, slots=True)
class Hours:
    """What hours came to."""

    last_hour: LastHour | None = None
    met_today: Mapping[str, float | None] = field(default_factory=dict)
    """By queue, since midnight UTC."""
    lately: Sequence[Shift] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    """By task type, the usual p95 of its run time in seconds."""


class HoursWatch:
    """Of one installation."""

    def __init__(self, store: Store, views: Views) -> None:
        self._store = store
        self._views = views
        self._kept = Kept(self._ask, _KEPT_SECONDS, _REST)
        self._known: Hours | None = None
        self._known_at = float("-inf")

    async def read(self) -> Hours:
        """The newest that are known. Never raises."""
        # Where nobody has looked for a while they are of that time, and it is not seen.
        is_old = time.monotonic() - self._known_at > _OLD_SECONDS
        try:
            return await within(_FIRST_SECONDS if is_old else _WAIT_SECONDS, self._kept.get())
        except (DatabaseAway, ExpectedFault, NotInTime, StatementRefused) as error:
            if not isinstance(error, NotInTime):
                log.info("sums of hours are not known now", reason=server_words(error))
            return self._known or Hours()

    async def _ask(self) -> Hours:
        metrics = self._views.task_metrics
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        hour = (await metrics.windowed("queue", _HOUR)).sums
        today = (await metrics.windowed("queue", max((now - midnight).total_seconds(), 60.0))).sums
        lately = (await metrics.windowed("task_type", _LATELY)).sums
        before = (await metrics.windowed("task_type", _BEFORE, now - timedelta(seconds=_LATELY))).sums
        usual = await self._views.explainer.usual.p95_by_type()
        self._known = Hours(
            last_hour=_last_hour(hour),
            met_today={one.queue or "": attainment(one.counts["sla_met"], one.counts["sla_missed"]) for one in today},
            lately=shifts(before, lately),
            usual=usual,
        )
        self._known_at = time.monotonic()
        return self._known


def _last_hour(sums: Sequence[Sums]) -> LastHour:
    met, missed = (sum(one.counts[name] for one in sums) for name in ("sla_met", "sla_missed"))
    submitted, failed = (int(sum(one.counts[name] for one in sums)) for name in ("submitted", "failed"))
    return LastHour(submitted, attainment(met, missed), failed)

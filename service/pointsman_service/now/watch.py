"""Looks at the installation for everybody who has the first page open: at most once a second, and never unasked."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pointsman_service.alert.alert import alert_of
from pointsman_service.breaker import last_error
from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.now.composing import compose
from pointsman_service.now.facts import Away, Facts
from pointsman_service.now.picture import BreakerLine, CauseError, ErrorLine, LastHour, Now, RunningNow
from pointsman_service.observe import errors
from pointsman_service.observe.broker_state import BrokerState
from pointsman_service.observe.errors import ErrorGroup
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.observe.sla import attainment
from pointsman_service.observe.views import Views
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.settings import Settings
from pointsman_service.store import clock
from pointsman_service.store.alerts import alerts, facts
from pointsman_service.store.alerts.facts import MOST_BREAKERS, TrippedRow
from pointsman_service.store.errors.reading import GroupFilter, begin_of_window
from pointsman_service.store.metrics.summing import Sums
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.store import RowRefused, StatementRefused, Store

_KEPT_SECONDS = 1.0
_HOUR = 3600.0
_HOUR_KEPT_SECONDS = 10.0
_REST = 10.0
_ANSWER_SECONDS = 2.0
_MOST_BREAKERS = 10
_MOST_ERRORS = 8
_AWAY = (DatabaseAway, ExpectedFault, NotInTime, StatementRefused, RowRefused)


class NowWatch:
    """The first page of one installation, as one process sees it."""

    def __init__(self, store: Store, views: Views, settings: Settings) -> None:
        self._store = store
        self._views = views
        self._settings = settings
        self._kept = Kept(self._look, _KEPT_SECONDS)
        self._hour = Kept(self._last_hour, _HOUR_KEPT_SECONDS, _REST)
        self._today = Kept(self._met_today, _HOUR_KEPT_SECONDS, _REST)
        self._broker_away_since: datetime | None = None
        self._database_away_since: datetime | None = None
        self._known = Facts(datetime.fromtimestamp(0, UTC))

    async def read(self) -> Now:
        """The first page, at most a second old. Never raises because a server is away: it says so."""
        return await self._kept.get()

    async def _look(self) -> Now:
        broker = await self._views.broker.state()
        now = datetime.now(UTC)
        away = self._broker_away(broker, now)
        try:
            found = await within(_ANSWER_SECONDS, self._ask(away))
        except _AWAY as error:
            if self._database_away_since is None:
                self._database_away_since = now
            return compose(self._without_database(error, broker, away, now))
        self._database_away_since = None
        self._known = found
        return compose(found)

    def _broker_away(self, broker: BrokerState, now: datetime) -> Away | None:
        if broker.up:
            self._broker_away_since = None
            return None
        self._broker_away_since = self._broker_away_since or now
        return Away(self._broker_away_since, broker.reason)

    def _without_database(self, error: Exception, broker: BrokerState, away: Away | None, now: datetime) -> Facts:
        said = error.said if isinstance(error, DatabaseAway) else ""
        beats = () if away is not None else broker.beats.values()
        return Facts(
            now=now,
            database=Away(self._database_away_since, said),
            broker=away,
            queues=self._known.queues,
            running=tuple(RunningNow(beat["name"], run["task"], None) for beat in beats for run in beat["running"]),
        )

    async def _ask(self, away: Away | None) -> Facts:
        recorded = await self._views.recorded.up_to()
        queues = await self._views.queues.read()
        workers = await self._views.workers.read()
        async with self._store.statement() as connection:
            tripped = await facts.tripped(connection)
            now = datetime.fromtimestamp((await clock.now(connection)), UTC)
            in_mind = await alerts.in_mind(connection)
            since, step = begin_of_window(now, _HOUR)
            wanted = GroupFilter(since=since, step_seconds=step, most_first=True)
            groups = await errors.page(connection, wanted, _MOST_ERRORS, now)
        return Facts(
            now=now,
            recorded_up_to=recorded,
            broker=away,
            alerts=[alert_of(row) for row in in_mind],
            queues=queues,
            predictions={queue.name: self._views.predictions.of(queue.name, queue.priority) for queue in queues},
            busy={queue.name: _busy(queue, workers) for queue in queues},
            met_today=await self._today.get(),
            breakers=[_breaker(row, queues) for row in tripped[:_MOST_BREAKERS]],
            breakers_in_all=len(tripped) if len(tripped) <= MOST_BREAKERS else None,
            errors=[_error(group) for group in groups.groups],
            last_hour=await self._hour.get(),
        )

    async def _last_hour(self) -> LastHour:
        found = (await self._views.task_metrics.windowed("queue", _HOUR)).sums
        met, missed = (sum(one.counts[name] for one in found) for name in ("sla_met", "sla_missed"))
        submitted, failed = (int(sum(one.counts[name] for one in found)) for name in ("submitted", "failed"))
        return LastHour(submitted, attainment(met, missed), failed)

    async def _met_today(self) -> dict[str, float | None]:
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        window = max(now - midnight, timedelta(minutes=1)).total_seconds()
        found: list[Sums] = (await self._views.task_metrics.windowed("queue", window)).sums
        return {one.queue or "": attainment(one.counts["sla_met"], one.counts["sla_missed"]) for one in found}


def _busy(queue: QueueFigures, workers: Iterable[WorkerFigures]) -> int | None:
    there = [worker for worker in workers if queue.name in worker.queues and worker.live and not worker.ejected]
    known = [min(worker.busy, worker.processes) for worker in there if worker.busy is not None]
    return sum(known) if len(known) == len(there) else None


def _breaker(row: TrippedRow, queues: Sequence[QueueFigures]) -> BreakerLine:
    reason = f"{BY_BREAKER}{row.scope}:{row.name}"
    held = sum(part.tasks for queue in queues for part in queue.held_by if part.reason == reason)
    return BreakerLine(
        scope=row.scope,
        name=row.name,
        state=row.seen,
        since=datetime.fromtimestamp(row.since, UTC),
        error=None if row.last_error is None else _last_error(row.last_error),
        held=held,
        next_probe_at=None,
        by=None,
        reason=None,
    )


def _last_error(stored: Mapping[str, Any]) -> CauseError:
    return CauseError(stored["type"], stored["message"], stored["task_id"], stored["count"])


def _error(group: ErrorGroup) -> ErrorLine:
    news = group.is_new or group.is_back_again
    return ErrorLine(
        id=group.id,
        label=last_error.in_a_line(group.error_type, group.message) if group.error_type else group.message,
        task_type=group.task_type,
        count=group.count,
        badge=None if not news else "back again" if group.is_back_again else "new",
        since=group.changed_at if group.is_back_again else group.first_seen_at,
    )

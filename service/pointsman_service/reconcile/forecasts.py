"""The sweep ``forecasts``: what is expected of each queue, twice a second and when a node falls silent, for every
process to read.

Nothing is kept but in Redis, where it goes stale by itself: while nobody makes forecasts nothing is predicted. A new
leader knows the record of its predecessor's predictions from PostgreSQL.
"""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pointsman_contract import keys
from pointsman_contract.events import Beat
from pointsman_service.broker import Broker
from pointsman_service.fleet.liveness import Liveness
from pointsman_service.loops import Loop
from pointsman_service.observe.backlog import Backlog, BacklogWatch
from pointsman_service.observe.prediction.arrivals import Arrivals
from pointsman_service.observe.prediction.counts import Counts
from pointsman_service.observe.prediction.facts import (
    SILENT_SECONDS,
    Runs,
    are_cut,
    nodes_of,
    punctual_of,
    reasons_of,
    unstarted_of,
)
from pointsman_service.observe.prediction.flow import NOTHING, Load, Work
from pointsman_service.observe.prediction.forecast import Forecast
from pointsman_service.observe.prediction.predictor import Predictor
from pointsman_service.observe.prediction.samples import MOST_OPEN, Samples, told_of
from pointsman_service.observe.prediction.surprises import Surprises
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.metrics import counters, predictions, summing
from pointsman_service.store.queues import ahead, holding
from pointsman_service.store.queues.ahead import MOST_BORN, Ahead, Births
from pointsman_service.store.queues.holding import BY_BREAKER
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.partitions import lowest_id

_LOOK_EVERY, _FORECAST_EVERY = 0.25, 0.4
"""Who is silent is looked for more often than is forecast: until it is seen, tasks are told what does not hold."""
_ROWS_EVERY = 0.9
"""PostgreSQL is asked in every second pass; that workers fell silent, Redis tells in each."""
_KEPT_MILLISECONDS = 10_000
_RECENT_SECONDS, _RECENT_EVERY = 90.0, 5.0
_LONGER_SECONDS, _LONGER_EVERY = 3600.0, 60.0
_RECORD = 3000
"""So many earlier predictions tell a new leader how good they are."""
BIRTH_LAG = timedelta(seconds=1)
"""An id is drawn before its commit: what was born is looked for so much later."""
_LONGEST_LOOK = timedelta(seconds=5)
"""After a longer pause what came meanwhile is passed over."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class ForecastSweep:
    """Two at once do no harm: each writes what it sees."""

    def __init__(
        self, store: Store, broker: Broker, server: RedisServer, liveness: Liveness, settings: Settings
    ) -> None:
        self._store = store
        self._broker = broker
        self._server = server
        self._liveness = liveness
        self._queues = [spec.name for spec in settings.topology.queues]
        self._backlog = BacklogWatch(store, self._queues)
        self._predictor = Predictor()
        self._arrivals = Arrivals()
        self._recent: list[summing.Sums] = []
        self._longer: list[summing.Sums] = []
        self._runs = Runs()
        self._surprises = Surprises()
        self._recent_at = self._longer_at = self._rows_at = float("-inf")
        self._rows: list[Ahead] = []
        self._backlogs: Mapping[str, Backlog] = {}
        self._born_until: datetime | None = None
        self._too_many = False
        """Whether more was born last time than is read at once."""
        self._samples = Samples()
        self._samples_a_second = settings.prediction_samples_a_second
        self._knows_record = False
        self._now = 0.0
        self._said: bytes | None = None
        self._made_at = float("-inf")
        self._punctual: frozenset[str] = frozenset()
        self.loop = Loop("forecast sweep", self.look, _LOOK_EVERY)

    async def look(self) -> bool:
        """A pass when its time has come, or a node fell silent, came or left. Raises what ``single_pass`` does."""
        if time.monotonic() - self._made_at >= _FORECAST_EVERY:
            return await self.single_pass()
        await self._liveness.look()
        if punctual_of(*self._beats()) != self._punctual:
            await self._forecast()
        return False

    async def single_pass(self) -> bool:
        """Look once, and say what is expected. Raises ``BrokerAway`` and the store's errors: it goes stale then."""
        await self._liveness.look()
        await self._forecast()
        return False

    async def _forecast(self) -> None:
        depths = await self._broker.depths()
        await self._read_record()
        self._samples.void(queue for queue, depth in depths.queues.items() if depth.paused)
        if time.monotonic() - self._rows_at >= _ROWS_EVERY:
            await self._read_runs()
            await self._read_rows()
            await self._compare()
        waiting = {queue: backlog.waiting for queue, backlog in self._backlogs.items()}
        unstarted = unstarted_of(self._rows, self._runs, depths, waiting)
        beats, silent = self._beats()
        nodes = nodes_of(beats, silent, unstarted)
        held = [
            queue for queue, backlog in self._backlogs.items() if not unstarted.work.get(queue) and _is_held(backlog)
        ]
        watched = self._liveness.watched_seconds >= SILENT_SECONDS
        reasons = reasons_of(self._queues, depths, beats, nodes, held, watched=watched)
        loads = {queue: Load(unstarted.work.get(queue, {}), self._arrivals.of(queue)) for queue in self._queues}
        forecast = self._predictor.forecast(nodes, loads, reasons)
        self._samples.remember(self._now + time.monotonic() - self._rows_at, forecast)
        await self._say(forecast)
        self._made_at, self._punctual = time.monotonic(), punctual_of(beats, silent)

    def _beats(self) -> tuple[Mapping[str, Beat], Mapping[str, float]]:
        beats = self._liveness.beats()
        return beats, {owner: self._liveness.silent_seconds(owner) or 0.0 for owner in beats}

    async def _read_rows(self) -> None:
        async with self._store.statement() as connection:
            now = await ahead.now(connection)
            self._rows = await ahead.ahead(connection, self._queues)
            is_blocked = await holding.is_anything_blocked(connection)
        self._rows_at, self._now = time.monotonic(), now.timestamp()
        self._runs.believe(self._surprises.see(self._rows, self._runs.usual, self._runs.recent, self._now))
        # Only these need what counting all of them costs.
        is_needed = is_blocked or are_cut(self._rows)
        self._backlogs = await self._backlog.read() if is_needed else {}
        await self._see_births(now)

    async def _say(self, forecast: Forecast) -> None:
        text = forecast.as_json()
        # What stays as it was is not written anew: the append-only file would grow by it. Somebody may have changed it.
        if text == self._said and await self._server.command("GET", keys.FORECAST) == text:
            await self._server.command("PEXPIRE", keys.FORECAST, _KEPT_MILLISECONDS)
            return
        await self._server.command("SET", keys.FORECAST, text, "PX", _KEPT_MILLISECONDS)
        self._said = text

    async def _read_runs(self) -> None:
        now = time.monotonic()
        if now - self._recent_at < _RECENT_EVERY:
            return
        async with self._store.statement() as connection:
            if now - self._longer_at >= _LONGER_EVERY:
                self._longer = (await summing.over_window(connection, "both", _LONGER_SECONDS)).sums
                self._longer_at = now
            self._recent = (await summing.over_window(connection, "both", _RECENT_SECONDS)).sums
        self._recent_at = now
        self._runs = Runs(self._recent, self._longer)

    async def _see_births(self, now: datetime) -> None:
        """What came since the last look, and what a sample of it was told."""
        until = now - BIRTH_LAG
        since = self._born_until
        self._born_until = until
        if since is None or until - since > _LONGEST_LOOK:
            return
        most = math.ceil(self._samples_a_second * (until - since).total_seconds()) if self._samples.has_room else 0
        low = max(since, self._forecast_before(until)) if self._too_many else since
        async with self._store.statement() as connection:
            born, samples = await ahead.births(connection, lowest_id(low), lowest_id(until), most)
            self._too_many = sum(one.tasks for one in born) >= MOST_BORN
            high = born[-1].submitted_at if self._too_many else until
            self._pass_over(since, low)
            self._pass_over(high, until)
            self._arrivals.pass_by((high - low).total_seconds(), self._work_of(born))
            await predictions.keep(connection, self._samples.draw(born, samples, self._runs.work))

    def _forecast_before(self, moment: datetime) -> datetime:
        """From there on a part of what was born is enough to know what a task was told."""
        at = self._samples.newest_before(moment.timestamp())
        return _LONG_AGO if at is None else datetime.fromtimestamp(at, UTC)

    def _pass_over(self, since: datetime, until: datetime) -> None:
        if since < until:
            self._samples.pass_over(since.timestamp(), until.timestamp())

    async def _read_record(self) -> None:
        """Once: what a leader before knew."""
        if self._knows_record:
            return
        async with self._store.statement() as connection:
            record = await predictions.record(connection, _RECORD)
            still_open = await predictions.still_open(connection, MOST_OPEN)
        for outcome in record:
            kept = outcome.told
            waited = outcome.waited_seconds or 0.0
            self._predictor.compare(kept.queue, told_of(kept), waited, kept.submitted_at.timestamp() + waited)
        self._samples.reopen(still_open)
        self._knows_record = True

    async def _compare(self) -> None:
        """What came of earlier predictions. Whoever dies before the commit leaves them to the next look."""
        overdue = self._samples.overdue(self._now)
        asked = list(dict.fromkeys((*self._samples.to_look_at(), *overdue)))
        if not asked:
            return
        async with self._store.statement() as connection:
            seen = await predictions.seen(connection, asked)
        settled = self._samples.started(asked, seen)
        late = [task_id for task_id in overdue if task_id not in settled]
        if not settled and not late:
            return
        async with self._store.transaction() as connection:
            news = await predictions.settle(connection, settled)
            news_of_late = await predictions.mark_late(connection, late)
            counts = Counts()
            started = self._samples.outcomes(settled, news, seen, counts)
            missed = self._samples.misses(late, news_of_late, seen, self._now, counts)
            await predictions.count(connection, counts.by_queue)
            await counters.add(connection, counts.of_tasks)
        self._samples.close(settled, late)
        for one in (*started, *missed):
            self._predictor.compare(one.queue, one.told, one.waited_seconds, self._now)

    def _work_of(self, born: list[Births]) -> dict[tuple[str, int], Work]:
        found: dict[tuple[str, int], Work] = {}
        for one in born:
            key = (one.queue, one.priority)
            found[key] = found.get(key, NOTHING).plus(self._runs.work(one.task_type, one.queue, one.tasks))
        return found


def _is_held(backlog: Backlog) -> bool:
    return any((reason or "").startswith(BY_BREAKER) for reason in backlog.held_by)

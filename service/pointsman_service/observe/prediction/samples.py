"""A sample of the tasks: what was told of each when it was submitted, until it is known what came of it. Pure.

What is told of a task that was born since is worked out from the newest forecast that is older than the task, and from
what was submitted between the two: nothing that came later has a part in it. Moments are Unix seconds on the database
clock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from pointsman_service.observe.prediction.counts import Counts
from pointsman_service.observe.prediction.flow import Line, Work
from pointsman_service.observe.prediction.forecast import Forecast, Told, tell
from pointsman_service.observe.prediction.prediction import Basis, Prediction
from pointsman_service.store.metrics.predictions import KeptPrediction, Outcome, Seen, Settled
from pointsman_service.store.queues.ahead import Births, Sample

MOST_OPEN = 20_000
"""So many tasks that have not started are remembered; while there are more, no further ones are drawn."""
OVERDUE = 1.2
"""A task that has not started when its p95 passes is taken to wait at least so many times as long as it has."""
_REMEMBERED_SECONDS = 8.0
_LOOKED_AT = 500

WorkOf = Callable[[str, str, float], Work]
"""Of task type, queue and number of tasks."""


class Compared(NamedTuple):
    """What came of one prediction."""

    queue: str
    told: Told
    waited_seconds: float


class _Open:
    """A task that has not started."""

    def __init__(self, kept: KeptPrediction, *, late: bool = False) -> None:
        self.kept = kept
        self.submitted_at = kept.submitted_at.timestamp()
        self.late = late
        self.void = False

    def is_overdue(self, now: float) -> bool:
        return not self.late and not self.void and now - self.submitted_at > self.kept.p95_seconds


class Samples:
    """The open ones."""

    def __init__(self) -> None:
        self._forecasts: deque[tuple[float, Forecast]] = deque()
        self._born: deque[Births] = deque()
        self._passed_over: deque[tuple[float, float]] = deque()
        self._open: dict[UUID, _Open] = {}
        self._turn = 0

    @property
    def has_room(self) -> bool:
        """Whether more may be drawn."""
        return len(self._open) < MOST_OPEN

    def remember(self, at: float, forecast: Forecast) -> None:
        """What was told from this moment on."""
        self._forecasts.append((at, forecast))
        while self._forecasts and at - self._forecasts[0][0] > _REMEMBERED_SECONDS:
            self._forecasts.popleft()

    def newest_before(self, moment: float) -> float | None:
        """When the newest forecast before a moment was made."""
        return max((at for at, _ in self._forecasts if at < moment), default=None)

    def pass_over(self, since: float, until: float) -> None:
        """Nobody knows what was born between the two."""
        self._passed_over.append((since, until))
        while until - self._passed_over[0][1] > _REMEMBERED_SECONDS:
            self._passed_over.popleft()

    def reopen(self, outcomes: Iterable[Outcome]) -> None:
        """Those that another process left open."""
        for outcome in outcomes:
            self._open[outcome.told.task_id] = _Open(outcome.told, late=outcome.late)

    def draw(self, born: Sequence[Births], samples: Sequence[Sample], work_of: WorkOf) -> list[KeptPrediction]:
        """What was told of these samples of what was born, oldest first; to be kept."""
        self._born.extend(born)
        drawn = []
        for sample in samples:
            told = self._told(sample, work_of)
            if told is None:
                continue
            kept = _kept(sample, told)
            if kept is not None and self.has_room:
                self._open[sample.id] = _Open(kept)
                drawn.append(kept)
        newest = max((one.submitted_at.timestamp() for one in born), default=0.0)
        while self._born and newest - self._born[0].submitted_at.timestamp() > _REMEMBERED_SECONDS:
            self._born.popleft()
        return drawn

    def _told(self, sample: Sample, work_of: WorkOf) -> Told | None:
        submitted_at = sample.submitted_at.timestamp()
        older = [found for found in self._forecasts if found[0] <= submitted_at]
        if not older:
            return None
        at, forecast = older[-1]
        found = forecast.queues.get(sample.queue)
        if found is None or found.line is None:
            return None
        if any(begin < submitted_at and at < end for begin, end in self._passed_over):
            return None
        since = work_of(sample.task_type, sample.queue, sample.before)
        for one in self._born:
            born_at = one.submitted_at.timestamp()
            if one.queue != sample.queue or one.priority < sample.priority or not at < born_at <= submitted_at:
                continue
            if born_at < submitted_at or one.priority > sample.priority:
                since = since.plus(work_of(one.task_type, one.queue, one.tasks))
        ahead = without_done(found.line.ahead[sample.priority].plus(since), found.line, submitted_at - at)
        return tell(found, sample.priority, ahead)

    def void(self, queues: Iterable[str]) -> None:
        """What waits in these queues is not compared: they are paused."""
        stopped = set(queues)
        if stopped:
            for one in self._open.values():
                one.void |= one.kept.queue in stopped

    def to_look_at(self) -> list[UUID]:
        """Some that may have started: the oldest, and the others in turn."""
        ids = list(self._open)
        if len(ids) <= 2 * _LOOKED_AT:
            return ids
        others = ids[_LOOKED_AT:]
        self._turn = (self._turn + _LOOKED_AT) % len(others)
        return ids[:_LOOKED_AT] + (others + others)[self._turn : self._turn + _LOOKED_AT]

    def started(self, asked: Iterable[UUID], seen: Mapping[UUID, Seen]) -> dict[UUID, float | None]:
        """Of those asked for: how long each has waited that is settled now; None: there is nothing to compare."""
        settled: dict[UUID, float | None] = {}
        for task_id in asked:
            found = seen.get(task_id)
            if found is None or found.is_held or (found.has_ended and not found.has_started):
                settled[task_id] = None
            elif found.has_started:
                waited = found.waited_seconds
                settled[task_id] = None if waited is None or self._open[task_id].void else max(waited, 0.0)
        return settled

    def outcomes(
        self,
        settled: Mapping[UUID, float | None],
        news: Mapping[UUID, Settled],
        seen: Mapping[UUID, Seen],
        counts: Counts,
    ) -> list[Compared]:
        """What the estimators learn from these. Counted are those alone that are ``news``."""
        compared: list[Compared] = []
        for task_id, waited in settled.items():
            one = self._open[task_id]
            if waited is None:
                continue
            if not one.late:
                compared.append(Compared(one.kept.queue, told_of(one.kept), waited))
            if task_id in news:
                counts.add_start(one.kept, seen[task_id], waited, news[task_id])
        return compared

    def overdue(self, now: float) -> list[UUID]:
        """Some whose p95 has passed, which nobody knows yet: the oldest."""
        return list(islice((task_id for task_id, one in self._open.items() if one.is_overdue(now)), 2 * _LOOKED_AT))

    def misses(
        self, ids: Iterable[UUID], news: Mapping[UUID, datetime], seen: Mapping[UUID, Seen], now: float, counts: Counts
    ) -> list[Compared]:
        """As ``outcomes``, of those that are overdue."""
        compared: list[Compared] = []
        for task_id in ids:
            one = self._open[task_id]
            compared.append(Compared(one.kept.queue, told_of(one.kept), OVERDUE * (now - one.submitted_at)))
            if task_id in news:
                counts.add_miss(one.kept, seen[task_id], news[task_id])
        return compared

    def close(self, settled: Iterable[UUID], late: Iterable[UUID]) -> None:
        """All that was written down: forget those, and these are late from here on."""
        for task_id in settled:
            del self._open[task_id]
        for task_id in late:
            self._open[task_id].late = True


def told_of(kept: KeptPrediction) -> Told:
    """What was told, from what was kept of it."""
    history = None
    if kept.history_p50_seconds is not None and kept.history_p95_seconds is not None:
        history = (kept.history_p50_seconds, kept.history_p95_seconds)
    said = Prediction(kept.p50_seconds, kept.p95_seconds, Basis(kept.basis), None, None)
    return Told(said, kept.kind, kept.expected_seconds, (kept.flow_p50_seconds, kept.flow_p95_seconds), history)


def _kept(sample: Sample, told: Told) -> KeptPrediction | None:
    said, flow, history = told.prediction, told.flow, told.history
    if said.p50_seconds is None or said.p95_seconds is None or said.basis is None or flow is None:
        return None
    return KeptPrediction(
        task_id=sample.id,
        queue=sample.queue,
        priority=sample.priority,
        submitted_at=sample.submitted_at,
        p50_seconds=said.p50_seconds,
        p95_seconds=said.p95_seconds,
        basis=str(said.basis),
        kind=told.kind,
        expected_seconds=told.seconds,
        flow_p50_seconds=flow[0],
        flow_p95_seconds=flow[1],
        history_p50_seconds=None if history is None else history[0],
        history_p95_seconds=None if history is None else history[1],
    )


def without_done(ahead: Work, line: Line, elapsed: float) -> Work:
    """What is left of it after so long."""
    if not line.run_seconds or ahead.tasks <= line.free:
        return ahead
    done = min(elapsed * line.processes / line.run_seconds, ahead.tasks)
    return ahead.plus(ahead, -done / ahead.tasks)

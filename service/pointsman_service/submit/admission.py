"""Whether a queue takes one more task now, as one process knows it: no submission asks a server for it.

Two questions, each asked only where somebody wants to know: is the backlog of a queue at its ``backlog_limit``, and
would a task whose caller said ``on_sla_risk: reject`` start later than its queue's target?

The backlog is what was last read, and what this process took since. Other processes' tasks are seen with the next
reading: with n processes a limit is exceeded by no more than what n - 1 of them take within a reading's interval, and
what is on its way into PostgreSQL meanwhile.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Protocol

from pointsman_contract.queues import QueueSpec
from pointsman_service.admit.submission import Submission
from pointsman_service.errors import BacklogFull, SlaAtRisk
from pointsman_service.loops import Loop
from pointsman_service.observe.backlog import Backlog
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.store.queues.shares import Share
from pointsman_service.submit.in_turn import InTurn
from pointsman_service.submit.one_reading import STALE_SECONDS, OneReading

_REFRESH_SECONDS = 0.5
_ROOM = 0.1
"""A caller is told to come back when so much of the limit is free again."""
_SHORTEST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 300.0
_RETRY_SECONDS = 10.0
"""When to ask again, where nothing is predicted."""
_STANDS_STILL_SECONDS = 30.0
"""The same, where nothing starts."""
_WHY: Mapping[Reason, str] = {
    Reason.PAUSED: "nothing starts while it is paused",
    Reason.NO_WORKER: "nothing starts without a worker",
    Reason.BREAKER_OPEN: "nothing starts while a circuit breaker is open",
}
_CERTAIN = frozenset(_WHY)
"""Nothing starts while this is so: the target will be missed."""


class Predictions(Protocol):
    """What is predicted now, from memory."""

    def of(self, queue: str, priority: int) -> Prediction:
        """Of a task that is submitted now."""

    def remaining(self, queue: str, priority: int, ahead: int) -> Prediction:
        """Of one that has so many tasks of its queue before it."""


class Admission:
    """Of one API process. Its loop must run."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Mapping[str, Backlog]]],
        predictions: Predictions,
        queues: Iterable[QueueSpec],
        in_turn: InTurn | None = None,
    ) -> None:
        """``read``: the backlog of every queue, asked now. Without ``in_turn`` nobody takes turns."""
        self._read = read
        self._predictions = predictions
        self._in_turn = in_turn
        self._limited = any(queue.backlog_limit is not None for queue in queues)
        self._depths: Mapping[str, int] = {}
        self._taken: Counter[str] = Counter()
        """By this process since the backlog was last asked for."""
        self._read_at = float("-inf")
        self._reading = OneReading(self.single_pass)
        self.loop = Loop("admission", self._pass, _REFRESH_SECONDS)

    async def single_pass(self) -> bool:
        """Ask for the backlog once."""
        before = self._taken.copy()
        found = await self._read()
        self._depths = {queue: backlog.depth for queue, backlog in found.items()}
        self._taken -= before
        self._read_at = time.monotonic()
        return False

    async def check(self, queue: QueueSpec, priority: int, submission: Submission, caller: str) -> None:
        """Refuse a task that is due now. Raises ``BacklogFull`` or ``SlaAtRisk``.

        What is due later enters no backlog now, and nothing is predicted of then: it is never refused.
        """
        if not _is_due(submission):
            return
        if queue.backlog_limit is not None:
            await self._freshen()
            ahead = self._ahead(queue.name)
            if ahead >= queue.backlog_limit:
                raise _backlog_full(queue, ahead, self._predictions.of(queue.name, priority))
        if submission.on_sla_risk == "reject":
            prediction = self._predictions.of(queue.name, priority)
            if _passes(prediction, queue.sla_seconds):
                # Where callers take turns, one who has little is not behind all of another's.
                prediction = await self._turn_of(queue.name, priority, submission, caller, prediction)
            if _passes(prediction, queue.sla_seconds):
                raise _sla_at_risk(queue, prediction)

    async def _turn_of(
        self, queue: str, priority: int, submission: Submission, caller: str, whole: Prediction
    ) -> Prediction:
        if self._in_turn is None or whole.p95_seconds is None:
            return whole
        before = await self._in_turn.before(queue, priority, Share(caller, submission.fairness_key or ""))
        return whole if before is None else self._predictions.remaining(queue, priority, before)

    def take(self, queue: str, submission: Submission) -> None:
        """One that passed is about to be stored."""
        if self._limited and _is_due(submission):
            self._taken[queue] += 1

    def give_back(self, queues: Iterable[str]) -> None:
        """As many that were taken are not stored, after all."""
        if self._limited:
            self._taken -= Counter(queues)

    def _ahead(self, queue: str) -> int:
        if time.monotonic() - self._read_at > STALE_SECONDS:
            return 0
        return self._depths.get(queue, 0) + self._taken[queue]

    async def _freshen(self) -> None:
        """Wait for the first reading, and for one after a pause in which nobody asked."""
        if self._limited and time.monotonic() - self._read_at > STALE_SECONDS:
            await self._reading.wait()

    async def _pass(self) -> bool:
        return await self.single_pass() if self._limited else False


def _is_due(submission: Submission) -> bool:
    return submission.scheduled_at is None and not submission.delay_seconds


def _passes(prediction: Prediction, target_seconds: float) -> bool:
    """Whether one of 20 such tasks, or more, will start later than the target. What is not known says nothing."""
    if prediction.p95_seconds is None:
        return prediction.reason in _CERTAIN
    return prediction.p95_seconds > target_seconds


def _backlog_full(queue: QueueSpec, ahead: int, prediction: Prediction) -> BacklogFull:
    limit = queue.backlog_limit or 0
    seconds = _RETRY_SECONDS
    if prediction.p50_seconds is not None:
        # What is predicted is how long all of it takes.
        seconds = prediction.p50_seconds * min(1.0, (ahead - (1 - _ROOM) * limit) / max(ahead, 1))
    elif prediction.reason in _CERTAIN:
        seconds = _STANDS_STILL_SECONDS
    full = BacklogFull(
        f"{ahead:,} tasks wait on {queue.name}, which takes up to {limit:,} (backlog_limit); nothing was stored.",
        retry_after_seconds=_within(seconds),
    )
    full.prediction = asdict(prediction)
    return full


def _sla_at_risk(queue: QueueSpec, prediction: Prediction) -> SlaAtRisk:
    if prediction.p95_seconds is None:
        why = _WHY.get(prediction.reason or Reason.NOT_KNOWN, "nothing starts")
        seconds = _STANDS_STILL_SECONDS
    else:
        why = f"19 of 20 such tasks start within {prediction.p95_seconds:g} s"
        seconds = prediction.p95_seconds - queue.sla_seconds
    at_risk = SlaAtRisk(
        f"On {queue.name} {why}, and its target is {queue.sla_seconds:g} s; nothing was stored, as on_sla_risk asks.",
        retry_after_seconds=_within(seconds),
    )
    at_risk.prediction = asdict(prediction)
    return at_risk


def _within(seconds: float) -> float:
    return round(min(max(seconds, _SHORTEST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS), 3)

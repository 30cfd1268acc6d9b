"""What is said of when a queue starts a task, kept from changing back and forth."""

import time
from collections.abc import Callable, Iterable, Mapping

from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.observe.queues import QueueFigures
from pointsman_service.store.queues.holding import BY_BREAKER

_SECONDS = 30.0


class Steady:
    """While circuit breakers hold tasks of a queue, and lately held all of it, that is what is said of it: one task of
    another type, or one that is about to be held, would make it a prediction for a moment.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._held_at: dict[str, float] = {}
        """By queue, when all of it was held last."""

    def told(self, queues: Iterable[QueueFigures], said: Mapping[str, Prediction]) -> dict[str, Prediction]:
        """What to say of each."""
        return {queue.name: self._one(queue, said[queue.name]) for queue in queues if queue.name in said}

    def _one(self, queue: QueueFigures, said: Prediction) -> Prediction:
        now = self._monotonic()
        if said.reason is Reason.BREAKER_OPEN:
            self._held_at[queue.name] = now
        elif not any((part.reason or "").startswith(BY_BREAKER) for part in queue.held_by):
            self._held_at.pop(queue.name, None)
        elif said.reason is None and now - self._held_at.get(queue.name, float("-inf")) < _SECONDS:
            return Prediction.unsaid(Reason.BREAKER_OPEN)
        return said

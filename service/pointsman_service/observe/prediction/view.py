"""Predictions as one process knows them: from memory, for whoever asks."""

import time
from collections.abc import Callable, Mapping

from pointsman_contract import keys
from pointsman_service.loops import Loop
from pointsman_service.observe.prediction.flow import NOTHING, Work
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast, Told, tell
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.redis import BrokerAway, RedisServer

_REFRESH_SECONDS = 0.25
_STALE_SECONDS = 5.0
"""A forecast that could not be read anew for so long says nothing of now."""
_NONE = 1e-3
"""Fewer tasks are none: numbers are told to five digits."""
_NOBODY = QueueForecast(Reason.NOT_KNOWN)


class PredictionView:
    """The newest forecast, read four times a second. Its loop must run; asking it is a look into memory."""

    def __init__(self, server: RedisServer, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._monotonic = monotonic
        self._text: bytes | None = None
        self._forecast = Forecast({})
        self._read_at = float("-inf")
        self.loop = Loop("prediction view", self.single_pass, _REFRESH_SECONDS)

    async def single_pass(self) -> bool:
        """Read it once. Raises ``BrokerAway``; nothing starts then, and nothing is predicted."""
        try:
            text = await self._server.command("GET", keys.FORECAST)
        except BrokerAway:
            self.take(None)
            raise
        self.take(text)
        return False

    def take(self, text: bytes | None) -> None:
        """What Redis has; None: nothing. What is no forecast is none: who makes them writes it anew within a second."""
        if text != self._text:
            try:
                self._forecast = Forecast({}) if text is None else Forecast.read(text)
            except ValueError:
                self._forecast = Forecast({})
            self._text = text
        self._read_at = self._monotonic()

    def of(self, queue: str, priority: int) -> Prediction:
        """How long a task would wait that is submitted now, to a queue with a priority from 0 to 10."""
        return self.told(queue, priority).prediction

    def remaining(self, queue: str, priority: int, ahead: int) -> Prediction:
        """How much longer a task waits that has so many tasks of its queue before it."""
        line = self.forecast(queue).line
        if line is None:
            return self.of(queue, priority)
        # Those that are ahead are like those that would be ahead of a new one. What its nodes empty first goes before.
        own = line.ahead[priority].plus(line.rivals, -1.0)
        share = ahead / own.tasks if own.tasks > _NONE else 0.0
        run = line.run_seconds
        mine = Work(ahead, ahead * run, ahead * 2 * run * line.rest_seconds) if not share else NOTHING.plus(own, share)
        mine = mine.plus(line.rivals)
        return tell(self.forecast(queue), priority, mine).prediction

    def told(self, queue: str, priority: int) -> Told:
        """``of``, with what both estimators said."""
        return tell(self.forecast(queue), priority)

    def forecast(self, queue: str) -> QueueForecast:
        """What is known of one queue."""
        if self._monotonic() - self._read_at > _STALE_SECONDS:
            return _NOBODY
        return self._forecast.queues.get(queue, _NOBODY)

    def queues(self) -> Mapping[str, QueueForecast]:
        """What is known of all."""
        return {queue: self.forecast(queue) for queue in self._forecast.queues}

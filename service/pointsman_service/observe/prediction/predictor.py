"""What makes the forecast: the lines of the queues, and the record of what was said of them. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pointsman_service.observe.prediction.flow import Line, Load, Node, lines
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast, Told
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.observe.prediction.record import QueueRecord


class Predictor:
    """Remembers, by queue, what became of its predictions."""

    def __init__(self) -> None:
        self._records: defaultdict[str, QueueRecord] = defaultdict(QueueRecord)

    def forecast(
        self, nodes: Sequence[Node], loads: Mapping[str, Load], reasons: Mapping[str, Reason | None]
    ) -> Forecast:
        """Of every queue of ``reasons``; one that has no process here and no reason has no worker."""
        found = lines(nodes, loads)
        return Forecast({queue: self._of(queue, reason, found) for queue, reason in reasons.items()})

    def compare(self, queue: str, told: Told, waited: float, at: float) -> None:
        """A task of which this was told has waited so long; known ``at`` this moment, in seconds of any clock."""
        self._records[queue].compare(told, waited, at)

    def _of(self, queue: str, reason: Reason | None, found: Mapping[str, Line]) -> QueueForecast:
        line = found.get(queue)
        if reason is not None or line is None:
            return QueueForecast(reason or Reason.NO_WORKER)
        record = self._records[queue]
        return QueueForecast(None, line, record.ratios(), record.waits(), record.better())

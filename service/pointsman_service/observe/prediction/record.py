"""What became of predictions, by queue: from it each estimator is corrected, and the better one chosen. Pure."""

from pointsman_service.observe.prediction.forecast import Bounds, Told
from pointsman_service.observe.prediction.prediction import Basis, Confidence
from pointsman_service.observe.prediction.tracking import LEAST, Tracker

_ENOUGH = 59
"""With fewer the largest of them is no 95 % bound of the 95th percentile: 0.95 ** 59 < 0.05."""
_SCORED = 60
"""So many comparisons of both before one of them is preferred."""
_APART = 20.0
"""Tasks that start within a part of their wait have waited behind the same ones."""
_MEMORY = 0.98
"""What is left of a loss when the next one is counted."""
_BETTER_BY = 0.97
"""A preference changes only for a loss that is this much smaller."""


class _Contest:
    """Both estimators over tasks of one kind."""

    def __init__(self) -> None:
        self._losses = {Basis.FLOW: 0.0, Basis.HISTORY: 0.0}
        self._scored = 0
        self.better: Basis | None = None
        """The one whose predictions cost less lately; None before enough were compared."""

    def score(self, flow: tuple[float, float], history: tuple[float, float], waited: float) -> None:
        # By the size of the wait, or the long ones alone would decide.
        size = max(waited, 0.05)
        for basis, (p50, p95) in ((Basis.FLOW, flow), (Basis.HISTORY, history)):
            loss = (_pinball(0.5, p50, waited) + 2 * _pinball(0.95, p95, waited)) / size
            self._losses[basis] = _MEMORY * self._losses[basis] + (1 - _MEMORY) * min(loss, 5.0)
        self._scored += 1
        if self._scored < _SCORED:
            return
        best = min(self._losses, key=lambda basis: self._losses[basis])
        if self.better is None or self._losses[best] < _BETTER_BY * self._losses[self.better]:
            self.better = best


class QueueRecord:
    """One queue."""

    def __init__(self) -> None:
        self._ratios: dict[int, Tracker] = {}
        self._waits: dict[int, Tracker] = {}
        self._contests: dict[int, _Contest] = {}

    def ratios(self) -> dict[int, Bounds]:
        """By kind: the wait as a multiple of what flow expected."""
        return _bounds(self._ratios)

    def waits(self) -> dict[int, Bounds]:
        """By kind: the wait in seconds."""
        return _bounds(self._waits)

    def compare(self, told: Told, waited: float, at: float) -> None:
        """A task of which this was told has waited so long; known ``at`` this moment, in seconds of any clock."""
        if told.flow is None:
            return
        scale = max(told.seconds, 1e-6)
        ratios = self._ratios.setdefault(told.kind, Tracker())
        ratios.learn(waited / scale, told.flow[0] / scale, told.flow[1] / scale, at, waited / _APART)
        waits = self._waits.setdefault(told.kind, Tracker())
        # Until it had a bound of its own it is taught, and not judged, by the other's.
        waits.learn(waited, *(told.history or told.flow), at, waited / _APART)
        if told.history is not None:
            self._contests.setdefault(told.kind, _Contest()).score(told.flow, told.history, waited)

    def better(self) -> dict[int, Basis]:
        """By kind: the estimator whose record is the better one; kinds of which that is not known are absent."""
        return {kind: contest.better for kind, contest in self._contests.items() if contest.better is not None}


def _pinball(level: float, bound: float, value: float) -> float:
    return level * (value - bound) if value >= bound else (1 - level) * (bound - value)


def _bounds(trackers: dict[int, Tracker]) -> dict[int, Bounds]:
    found = {}
    for kind, tracker in trackers.items():
        bounds = tracker.bounds()
        if bounds is not None:
            found[kind] = Bounds(*bounds, _confidence(tracker))
    return found


def _confidence(tracker: Tracker) -> Confidence:
    compared, coverage = tracker.compared, tracker.coverage
    if compared < 2 * LEAST or coverage is None or coverage < 0.85:
        return Confidence.LOW
    return Confidence.GOOD if compared >= _ENOUGH and 0.9 <= coverage <= 0.99 else Confidence.FAIR

"""The forecast: for each queue its line and what the record says, from which any task's wait is worked out.

One process makes it, every process reads it: it is written as JSON and read back the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from pydantic_core import from_json, to_json

from pointsman_service.observe.prediction.flow import KINDS, Line, Work, estimate
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason

_DIGITS = 5


class Bounds(NamedTuple):
    """What the record says of one kind of tasks."""

    middle: float
    upper: float
    """Half of the values are expected below the one, 95 % below the other."""
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class QueueForecast:
    """One queue."""

    reason: Reason | None
    """Why nothing is said of it; None: something is."""
    line: Line | None = None
    ratios: Mapping[int, Bounds] | None = None
    """By kind: how long tasks waited, as a multiple of what flow expected."""
    waits: Mapping[int, Bounds] | None = None
    """By kind: how long tasks waited, in seconds."""
    better: Mapping[int, Basis] | None = None
    """By kind: the estimator whose record is the better one. Of other kinds the more careful p95 counts."""


class Told(NamedTuple):
    """A prediction, with what both estimators said."""

    prediction: Prediction
    kind: int = 0
    seconds: float = 0.0
    """What flow expected before its record corrected it."""
    flow: tuple[float, float] | None = None
    """p50 and p95."""
    history: tuple[float, float] | None = None


def tell(forecast: QueueForecast, priority: int, ahead: Work | None = None) -> Told:
    """What a task of this priority will wait that has ``ahead`` before it; without that one submitted now."""
    line = forecast.line
    if forecast.reason is not None or line is None:
        return Told(Prediction.unsaid(forecast.reason or Reason.NOT_KNOWN))
    found = estimate(line, priority, ahead)
    ratio = (forecast.ratios or {}).get(found.kind)
    wait = (forecast.waits or {}).get(found.kind)
    before = line.ahead[priority] if ahead is None else ahead
    # What runs may be all there is: how long that runs on is known.
    is_known = line.run_seconds or (not before.tasks and (line.remaining or line.overdue))
    if found.rounds and not is_known and wait is None:
        return Told(Prediction.unsaid(Reason.NOT_ENOUGH_SEEN), found.kind, found.seconds)
    if ratio is None:
        flow = (found.p50, found.p95)
    else:
        upper = found.seconds * ratio.upper
        flow = (found.seconds * ratio.middle, max(upper, found.p95) if found.is_far or found.doubtful else upper)
    history = None if wait is None else (wait.middle, wait.upper)
    basis = (forecast.better or {}).get(found.kind)
    if history is None or found.doubtful:
        basis = Basis.FLOW
    elif basis is None:
        basis = Basis.FLOW if flow[1] >= history[1] else Basis.HISTORY
    p50, p95 = flow if basis is Basis.FLOW or history is None else history
    bounds = ratio if basis is Basis.FLOW else wait
    confidence = Confidence.LOW if bounds is None else bounds.confidence
    if found.rounds and line.processes == 1:
        # Nothing starts before the one process is free.
        p95 = max(p95, line.remaining)
    said = Prediction(round(p50, 4), round(max(p95, p50), 4), basis, confidence, None)
    return Told(said, found.kind, found.seconds, flow, history)


@dataclass(frozen=True, slots=True)
class Forecast:
    """All queues."""

    queues: Mapping[str, QueueForecast]

    def as_json(self) -> bytes:
        """For ``read``."""
        return to_json({name: _plain(queue) for name, queue in self.queues.items()})

    @classmethod
    def read(cls, text: bytes) -> Self:
        """What ``as_json`` wrote. Raises ``ValueError`` for anything else."""
        try:
            return cls({name: _queue(found) for name, found in from_json(text).items()})
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a forecast: {type(error).__name__}") from None


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _plain(queue: QueueForecast) -> dict[str, Any]:
    if queue.line is None:
        return {"reason": queue.reason}
    line = queue.line
    return {
        "reason": queue.reason,
        "line": [
            line.processes,
            *map(_short, (line.free, line.remaining, line.run_seconds, line.rest_seconds)),
        ],
        # Readers of the release before know neither these nor the doubt of work.
        "overdue": list(map(_short, line.overdue)),
        "rivals": _plain_work(line.rivals),
        "ahead": list(map(_plain_work, line.ahead)),
        "overtaking": list(map(_plain_work, line.overtaking)),
        "ratios": _plain_bounds(queue.ratios),
        "waits": _plain_bounds(queue.waits),
        "better": list((queue.better or {}).items()),
    }


def _plain_work(work: Work) -> list[float]:
    return list(map(_short, work if work.doubt else work[:3]))


def _plain_bounds(bounds: Mapping[int, Bounds] | None) -> list[list[Any]]:
    return [[kind, _short(one.middle), _short(one.upper), one.confidence] for kind, one in (bounds or {}).items()]


def _queue(found: Mapping[str, Any]) -> QueueForecast:
    reason = None if found["reason"] is None else Reason(found["reason"])
    if "line" not in found:
        return QueueForecast(reason)
    processes, free, remaining, run_seconds, rest_seconds = found["line"]
    return QueueForecast(
        reason,
        Line(
            processes=processes,
            free=free,
            remaining=remaining,
            ahead=_works(found["ahead"]),
            overtaking=_works(found["overtaking"]),
            run_seconds=run_seconds,
            rest_seconds=rest_seconds,
            overdue=tuple(map(float, found.get("overdue", ()))),
            rivals=Work(*map(float, found.get("rivals", ()))),
        ),
        _bounds(found["ratios"]),
        _bounds(found["waits"]),
        {kind: Basis(basis) for kind, basis in found["better"]},
    )


def _works(found: Sequence[Sequence[float]]) -> tuple[Work, ...]:
    return tuple(Work(*map(float, work)) for work in found)


def _bounds(found: Sequence[Sequence[Any]]) -> dict[int, Bounds]:
    return {
        kind: Bounds(float(middle), float(upper), Confidence(confidence))
        for kind, middle, upper, confidence in found
        if 0 <= kind < KINDS
    }

"""What was told of tasks that were born since a forecast."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from pointsman_service.observe.prediction.flow import Work
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast
from pointsman_service.observe.prediction.samples import Samples
from pointsman_service.store.queues.ahead import Births, Sample
from tests.unit.observe.prediction.lines import line, tasks


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _work(task_type: str, queue: str, count: float) -> Work:
    return tasks(count, 1.0)


def _samples() -> Samples:
    """One process is busy, and a forecast was made at 10."""
    samples = Samples()
    samples.remember(10.0, Forecast({"reports": QueueForecast(None, line({5: tasks(2, 1.0)}, processes=1, busy=1))}))
    return samples


def _drawn(samples: Samples, born: Sequence[tuple[float, int]], moments: Sequence[float]) -> list[float]:
    births = [Births("reports", 5, "report", _at(at), count) for at, count in born]
    drawn = [Sample(uuid4(), "reports", 5, "report", _at(at), 0) for at in moments]
    kept = samples.draw(births, drawn, _work)
    return [one.submitted_at.timestamp() for one in kept]


def test_what_came_since_the_forecast_is_ahead() -> None:
    assert _drawn(_samples(), [(10.2, 3), (10.4, 1)], [10.4]) == [10.4]


def test_what_was_told_after_births_that_nobody_knows_is_not_kept() -> None:
    samples = _samples()
    samples.pass_over(10.5, 10.8)
    assert _drawn(samples, [(10.4, 1), (11.0, 1)], [10.4, 10.6, 11.0]) == [10.4]


def test_a_newer_forecast_knows_what_was_passed_over() -> None:
    samples = _samples()
    samples.pass_over(10.5, 10.8)
    samples.remember(10.9, Forecast({"reports": QueueForecast(None, line({5: tasks(2, 1.0)}, processes=1, busy=1))}))
    assert samples.newest_before(11.0) == 10.9
    assert _drawn(samples, [(11.0, 1)], [11.0]) == [11.0]

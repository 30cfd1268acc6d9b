"""Predictions from memory."""

from typing import cast

from pointsman_service.observe.prediction.flow import Load, Node, lines
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.observe.prediction.view import PredictionView
from pointsman_service.redis import RedisServer
from tests.unit.observe.prediction.lines import line, tasks

FORECAST = Forecast({"reports": QueueForecast(None, line({5: tasks(100, 1.0)}, processes=2, busy=2))}).as_json()


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _view(clock: _Clock) -> PredictionView:
    # What is read is given to it.
    return PredictionView(cast(RedisServer, None), clock)


def test_before_anything_was_read_nothing_is_known() -> None:
    assert _view(_Clock()).of("reports", 5).reason is Reason.NOT_KNOWN


def test_what_was_read_is_told() -> None:
    view = _view(_Clock())
    view.take(FORECAST)
    said = view.of("reports", 5)
    assert said.p50_seconds is not None
    assert 40 < said.p50_seconds < 60
    assert view.of("nobody", 5).reason is Reason.NOT_KNOWN


def test_what_could_not_be_read_for_long_is_known_no_more() -> None:
    clock = _Clock()
    view = _view(clock)
    view.take(FORECAST)
    clock.now += 4.9
    assert view.of("reports", 5).reason is None
    clock.now += 0.2
    assert view.of("reports", 5).reason is Reason.NOT_KNOWN


def test_without_a_forecast_or_with_something_else_nothing_is_known() -> None:
    view = _view(_Clock())
    for text in (None, b"nonsense"):
        view.take(FORECAST)
        view.take(text)
        assert view.of("reports", 5).reason is Reason.NOT_KNOWN


def test_what_its_nodes_empty_first_is_before_a_task_that_is_the_first_of_its_queue() -> None:
    nodes = [Node(("reports", "maintenance"), 4, [0.4] * 4)]
    loads = {"reports": Load({6: tasks(200, 0.4)}, {}), "maintenance": Load({3: tasks(1, 0.01)}, {})}
    found = {name: QueueForecast(None, line) for name, line in lines(nodes, loads).items()}
    view = _view(_Clock())
    view.take(Forecast(found).as_json())
    first, second = (view.remaining("maintenance", 3, ahead).p50_seconds or 0.0 for ahead in (0, 1))
    assert 15 < first <= second < 25
    assert (view.remaining("reports", 6, 0).p50_seconds or 9.0) < 0.5


def test_fewer_ahead_are_a_shorter_wait() -> None:
    view = _view(_Clock())
    view.take(FORECAST)
    waits = [view.remaining("reports", 5, ahead).p50_seconds or 0.0 for ahead in (1, 10, 50, 100)]
    assert waits == sorted(waits)
    assert waits[-1] == view.of("reports", 5).p50_seconds
    assert waits[0] < 3

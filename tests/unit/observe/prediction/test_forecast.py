"""What is told of a wait, and how it travels."""

import pytest

from pointsman_service.observe.prediction.forecast import Bounds, Forecast, QueueForecast, tell
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason
from tests.unit.observe.prediction.lines import line, tasks

LINE = line({5: tasks(100, 1.0)}, processes=2, busy=2, arriving={8: tasks(0.5, 1.0)})
KIND = tell(QueueForecast(None, LINE), 5).kind


def test_a_reason_says_nothing_else() -> None:
    assert tell(QueueForecast(Reason.PAUSED, LINE), 5).prediction == Prediction(None, None, None, None, Reason.PAUSED)


def test_without_a_record_flow_speaks_and_little_is_sure() -> None:
    said = tell(QueueForecast(None, LINE), 5).prediction
    assert said.basis is Basis.FLOW
    assert said.confidence is Confidence.LOW
    assert said.p50_seconds is not None
    assert said.p95_seconds is not None
    assert said.p50_seconds < said.p95_seconds


def test_the_record_corrects_flow() -> None:
    plain = tell(QueueForecast(None, LINE), 8)
    corrected = tell(QueueForecast(None, LINE, {plain.kind: Bounds(2.0, 3.0, Confidence.GOOD)}), 8)
    assert corrected.prediction.p50_seconds == pytest.approx(2 * plain.seconds, rel=0.01)
    assert corrected.prediction.p95_seconds == pytest.approx(3 * plain.seconds, rel=0.01)
    assert corrected.prediction.confidence is Confidence.GOOD


@pytest.mark.parametrize(("upper", "basis"), [(500.0, Basis.HISTORY), (1.0, Basis.FLOW)])
def test_the_more_careful_estimator_counts_while_the_record_says_nothing(upper: float, basis: Basis) -> None:
    found = tell(QueueForecast(None, LINE, {}, {KIND: Bounds(0.5, upper, Confidence.FAIR)}), 5).prediction
    assert found.basis is basis
    assert found.p95_seconds is not None
    assert found.p95_seconds >= upper


def test_the_better_record_chooses() -> None:
    waits = {KIND: Bounds(0.5, 1.0, Confidence.FAIR)}
    found = tell(QueueForecast(None, LINE, {}, waits, {KIND: Basis.HISTORY}), 5).prediction
    assert (found.basis, found.p95_seconds) == (Basis.HISTORY, 1.0)


def test_what_an_earlier_model_was_told_by_is_no_record_of_this_one() -> None:
    kinds = range(36)
    record = dict.fromkeys(kinds, Bounds(50.0, 60.0, Confidence.GOOD))
    told = QueueForecast(None, LINE, record, record, dict.fromkeys(kinds, Basis.HISTORY))
    for priority in range(11):
        assert tell(told, priority) == tell(QueueForecast(None, LINE), priority)


def test_tasks_of_which_nobody_knows_how_long_they_run_make_it_unsaid() -> None:
    unknown = line({5: tasks(100, 0.0)}, processes=2, busy=2, left=0.0)
    assert tell(QueueForecast(None, unknown), 5).prediction.reason is Reason.NOT_ENOUGH_SEEN
    # Nothing is ahead of the most urgent one but what runs.
    idle = line({}, processes=2, busy=0)
    assert tell(QueueForecast(None, idle), 5).prediction.p95_seconds is not None


def test_what_is_written_is_read_back() -> None:
    full = QueueForecast(
        None,
        LINE,
        {1: Bounds(1.25, 2.5, Confidence.LOW)},
        {3: Bounds(0.125, 7.0, Confidence.GOOD)},
        {1: Basis.FLOW, 3: Basis.HISTORY},
    )
    forecast = Forecast({"reports": full, "email": QueueForecast(Reason.NO_WORKER)})
    read = Forecast.read(forecast.as_json())
    assert read.as_json() == forecast.as_json()
    assert read.queues["email"] == forecast.queues["email"]
    for priority in range(11):
        assert tell(read.queues["reports"], priority).prediction.p95_seconds == pytest.approx(
            tell(full, priority).prediction.p95_seconds, rel=0.001
        )


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}x", b'{"a": 1}', b'{"a": {"reason": "x"}}', b'{"a": {"reason": null, "line": [1]}}']
)
def test_what_is_no_forecast_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Forecast.read(text)

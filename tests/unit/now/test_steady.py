from pointsman_service.now.steady import Steady
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction, Reason
from tests.unit.now.moments import queue

SOON = Prediction(0.1, 0.4, Basis.FLOW, Confidence.GOOD, None)
OPEN = Prediction.unsaid(Reason.BREAKER_OPEN)
PAUSED = Prediction.unsaid(Reason.PAUSED)
HELD = queue("external_api", held_by={"breaker:dependency:crm": 212})
CLEAR = queue("external_api")
OTHER = queue("external_api", held_by={"quarantine": 1})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_queue_that_was_held_whole_is_not_told_to_start_at_once_for_a_moment() -> None:
    clock = Clock()
    steady = Steady(clock)

    def said(of: object, prediction: Prediction, seconds: float = 1.0) -> Prediction:
        clock.now += seconds
        return steady.told([of], {"external_api": prediction, "email": SOON})["external_api"]  # type: ignore[list-item]

    assert said(HELD, SOON) == SOON, "all of it was not held yet"
    assert said(HELD, OPEN) == OPEN
    assert said(HELD, SOON) == OPEN
    assert said(HELD, SOON, 28.0) == OPEN
    assert said(HELD, OPEN) == OPEN
    assert said(HELD, SOON, 31.0) == SOON, "others go through all the time"
    assert said(HELD, OPEN) == OPEN
    assert said(HELD, PAUSED) == PAUSED
    assert said(CLEAR, SOON) == SOON, "nothing is held any more"
    assert said(HELD, SOON) == SOON
    assert said(HELD, OPEN) == OPEN
    assert said(OTHER, SOON) == SOON


def test_what_nothing_is_known_of_is_left_out() -> None:
    assert Steady(Clock()).told([HELD], {}) == {}

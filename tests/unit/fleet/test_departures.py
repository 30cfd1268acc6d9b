from typing import cast

from pointsman_contract.events import Beat
from pointsman_service.fleet.departures import Departures

NOW = 1_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def beat(*queues: str) -> Beat:
    return cast(Beat, {"queues": list(queues)})


def test_queues_of_a_worker_that_left_and_of_one_that_died_have_the_moment_when_it_was_seen() -> None:
    clock = Clock()
    departures = Departures(clock)
    first, second, third = beat("email"), beat("critical"), beat("reports")
    departures.see(1, {"a": first, "b": second, "c": third}, {})
    clock.now += 10
    departures.see(1, {"b": second, "c": third}, {})
    clock.now += 10
    departures.see(1, {"c": third}, {"b": second})
    clock.now += 5
    assert departures.by_queue(NOW) == {"email": NOW - 15, "critical": NOW - 5}


def test_one_that_stays_dead_left_once() -> None:
    clock = Clock()
    departures = Departures(clock)
    departures.see(1, {"a": beat("email")}, {})
    for _ in range(3):
        departures.see(1, {}, {"a": beat("email")})
        clock.now += 10
    assert departures.by_queue(NOW) == {"email": NOW - 30}


def test_who_was_dead_at_the_first_look_did_not_leave_under_our_eyes() -> None:
    departures = Departures(Clock())
    departures.see(1, {}, {"a": beat("email")})
    departures.see(1, {}, {"a": beat("email")})
    assert departures.by_queue(NOW) == {}


def test_a_new_epoch_forgets_who_left_in_the_one_before() -> None:
    departures = Departures(Clock())
    departures.see(1, {"a": beat("email")}, {})
    departures.see(1, {}, {})
    departures.see(2, {}, {})
    assert departures.by_queue(NOW) == {}


def test_after_an_hour_it_is_forgotten() -> None:
    clock = Clock()
    departures = Departures(clock)
    departures.see(1, {"a": beat("email")}, {})
    departures.see(1, {}, {})
    clock.now += 3600
    departures.see(1, {}, {})
    assert departures.by_queue(NOW) == {}

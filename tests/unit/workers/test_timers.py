from typing import Any

from kombu.asynchronous.timer import Timer

from pointsman.parent.timers import forget_cancelled


def filled(timer: Any, cancelled: int, live: int) -> list[float]:
    """Entries due from last to first; the moments of those that are not cancelled."""
    entries = [timer.call_after(seconds, print) for seconds in range(cancelled + live, 0, -1)]
    for entry in entries[:cancelled]:
        entry.cancel()
    return sorted(scheduled.eta for scheduled in timer._queue if not scheduled.entry.canceled)


def test_cancelled_timers_are_forgotten_and_the_others_keep_their_order() -> None:
    timer: Any = Timer()
    held = timer._queue
    moments = filled(timer, cancelled=900, live=100)
    forget_cancelled(timer)
    assert timer._queue is held
    assert len(held) == 100
    assert [scheduled.eta for scheduled in timer.queue] == moments


def test_few_cancelled_timers_are_left_where_they_are() -> None:
    timer: Any = Timer()
    filled(timer, cancelled=90, live=10)
    forget_cancelled(timer)
    assert len(timer) == 100


def test_a_heap_that_is_mostly_alive_is_not_rebuilt() -> None:
    timer: Any = Timer()
    filled(timer, cancelled=100, live=900)
    forget_cancelled(timer)
    assert len(timer) == 1000

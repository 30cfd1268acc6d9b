import pytest

from pointsman_service.broker import Depths, QueueDepth
from pointsman_service.dispatch.window import WindowLimits
from pointsman_service.settings import Settings

SETTINGS = Settings()


def depths(messages: int, published: int, epoch: int = 1) -> Depths:
    return Depths(epoch, 0, {"reports": QueueDepth(messages, published, None, False)})


@pytest.fixture
def limits() -> WindowLimits:
    return WindowLimits(SETTINGS)


def test_the_window_has_its_initial_size_until_the_rate_is_known(limits: WindowLimits) -> None:
    limits.observe(depths(100, 100), 0.0)
    limits.observe(depths(50, 100), 0.4)
    assert limits.limit("reports") == SETTINGS.window_initial


def test_the_window_holds_ten_seconds_of_the_measured_rate(limits: WindowLimits) -> None:
    limits.observe(depths(150, 1000), 0.0)
    limits.observe(depths(100, 1450), 10.0)
    assert limits.limit("reports") == 500, "450 published and 50 fewer left in ten seconds: 50 a second"


def test_the_window_never_falls_below_four_messages_a_process(limits: WindowLimits) -> None:
    limits.observe(depths(150, 1000), 0.0)
    limits.observe(depths(150, 1000), 10.0)
    assert limits.limit("reports") == 4 * SETTINGS.topology.processes("reports")


def test_a_queue_that_was_filled_and_ran_empty_gets_twice_the_window(limits: WindowLimits) -> None:
    limits.observe(depths(0, 200), 0.0)
    limits.filled("reports")
    limits.observe(depths(0, 400), 0.1)
    assert limits.limit("reports") == 2 * SETTINGS.window_initial
    limits.observe(depths(0, 400), 0.2)
    assert limits.limit("reports") == 2 * SETTINGS.window_initial, "it was not filled again"


def test_an_idle_queue_tells_nothing_about_its_rate(limits: WindowLimits) -> None:
    for now in range(5):
        limits.observe(depths(0, 200), float(now))
    assert limits.limit("reports") == SETTINGS.window_initial


def test_a_queue_that_was_empty_meanwhile_starts_its_measurement_anew(limits: WindowLimits) -> None:
    limits.observe(depths(100, 1000), 0.0)
    limits.observe(depths(0, 1000), 1.0)
    limits.observe(depths(100, 1100), 60.0)
    assert limits.limit("reports") == SETTINGS.window_initial


def test_readings_of_two_epochs_are_not_compared(limits: WindowLimits) -> None:
    limits.observe(depths(100, 5000, epoch=1), 0.0)
    limits.observe(depths(100, 0, epoch=2), 1.0)
    assert limits.limit("reports") == SETTINGS.window_initial

"""The hard limit ends what does not listen, frees its process, and is told by its parent."""

import pytest

from tests.stand.waiting import until_now

from .support import ControlPlane


@pytest.mark.parametrize(
    ("task_type", "timelimit"),
    [("library.stubborn", (3, 1)), ("library.in_c", (2, None)), ("library.in_c", (3, 1))],
)
def test_a_body_that_does_not_listen_is_killed_at_its_hard_limit(
    library_worker: ControlPlane, task_type: str, timelimit: tuple[float, float | None]
) -> None:
    task = library_worker.publish(task_type, timelimit=timelimit)
    body = library_worker.wait_for(task, "failed").body
    assert (body["error"]["type"], body["timed_out"]) == ("TimeLimitExceeded", True)
    # Its own policy decides what follows: the attempt is spent, not the task.
    assert body["retry_in_seconds"] >= 0
    assert library_worker.wait_for(library_worker.publish("library.async", 5), "succeeded").body["result"] == "10"
    assert library_worker.kinds(task) == ["started", "failed"]
    until_now(lambda: library_worker.unacknowledged() <= 1, "the acknowledgement")


def test_a_body_blocked_in_c_is_killed_when_it_is_cancelled(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.in_c")
    library_worker.wait_for(task, "started")
    library_worker.cancel(task, 0)
    body = library_worker.wait_for(task, "failed").body
    assert (body["error"]["type"], body["permanent"]) == ("workers.TaskCancelled", True)
    assert "timed_out" not in body


def test_the_limit_a_submission_asks_for_ends_a_run_on_every_base(library_worker: ControlPlane) -> None:
    bases = ("CriticalTask", "EmailTask", "ReportTask", "ExternalAPITask", "MaintenanceTask")
    tasks = [library_worker.publish(f"library.sleeps.{base}", 20, timelimit=(1.2, None)) for base in bases]
    for task in tasks:
        body = library_worker.wait_for(task, "failed").body
        assert (body["error"]["type"], body["timed_out"]) == ("SoftTimeLimitExceeded", True)
        assert 0.9 < body["run_seconds"] < 3


def test_a_run_that_asks_for_more_time_outlives_the_limits_of_its_type(library_worker: ControlPlane) -> None:
    task = library_worker.publish("library.brief", 2.5, timelimit=(600, None))
    assert library_worker.wait_for(task, "succeeded").body["result"] == "[600,599.0]"

"""A node that an operator stops while tasks run: each attempt is interrupted, and nobody has failed."""

import os
import signal
from collections.abc import Callable

from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane, Event
from tests.stand.waiting import until_now

StartWorker = Callable[..., Worker]


def begin(plane: ControlPlane, *tasks: str) -> None:
    for task in tasks:
        plane.wait_for(task, "started")
    until_now(lambda: [beat for beat in plane.beats() if len(beat["running"]) == len(tasks)], "a beat that names them")


def assert_interrupted(event: Event) -> None:
    assert event.body["interrupted"] is True
    assert event.body["error"]["type"] == "Interrupted"
    assert event.body["retry_in_seconds"] == 0, "a recorder of the version before sends it again, too"
    assert "blamed" not in event.body
    assert not event.body.get("timed_out")


def test_what_a_cold_shutdown_ends_is_interrupted_though_a_body_refuses_to_go(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "3")
    tasks = [own_plane.publish("sleep", 60), own_plane.publish("sample.stubborn"), own_plane.publish("sleep", 60)]
    begin(own_plane, *tasks)
    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait(120)
    for task in tasks:
        assert own_plane.kinds(task) == ["started", "failed"]
        assert_interrupted(own_plane.events(task, "failed")[0])
        assert own_plane.claim(task)["state"] == "done", "its next message may run at once"
    assert own_plane.beats() == [], "nobody waits until it is taken for dead"
    assert own_plane.redis.hlen("pointsman:breaker_failures") == 0


def test_a_stop_signal_to_every_process_of_a_node_interrupts_what_runs(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "2")
    tasks = [own_plane.publish("sleep", 60) for _ in range(2)]
    begin(own_plane, *tasks)
    os.killpg(worker.process.pid, signal.SIGTERM)
    worker.process.wait(120)
    for task in tasks:
        assert_interrupted(own_plane.events(task, "failed")[0])

"""A node that is taken off its queues: finishes what runs, takes nothing new, comes back."""

from collections.abc import Callable
from typing import Any

import pytest

from pointsman_contract.keys import EJECTED, EJECTED_KNOWN
from pointsman_contract.queues import STEPS, list_key
from tests.integration.workers.conftest import Valkey, Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

StartWorker = Callable[..., Worker]
QUEUE = ("-Q", "maintenance")
NAME = "node0@test"
TRANSPORTS = pytest.mark.parametrize("transport", ["pointsman", "stock"])


def tell(plane: ControlPlane, *names: str) -> None:
    """Say who is ejected, as the control plane does."""
    with plane.redis.pipeline() as pipe:
        pipe.delete(EJECTED)
        pipe.hset(EJECTED, mapping=dict.fromkeys((EJECTED_KNOWN, *names), "1"))
        pipe.execute()


def last_beat(plane: ControlPlane) -> dict[str, Any]:
    """Of the newest start."""
    return max(plane.beats(), key=lambda beat: float(beat["started_at"]), default={})


def until_off(plane: ControlPlane, off: bool = True) -> None:
    until_now(lambda: last_beat(plane).get("ejected") is off, f"ejected to be {off}")


def beats_on(plane: ControlPlane, count: int = 2) -> None:
    """The node lives on: so many beats later."""
    began = last_beat(plane)["counter"]
    until_now(lambda: last_beat(plane)["counter"] >= began + count, "it to go on beating")


def waiting(plane: ControlPlane) -> int:
    return sum(plane.redis.llen(list_key("maintenance", step)) for step in STEPS)


def taken_by_nobody(plane: ControlPlane, task: str) -> None:
    beats_on(plane)
    assert plane.kinds(task) == []
    assert waiting(plane) + plane.unacknowledged() == 1


@pytest.fixture
def plane(own_plane: ControlPlane) -> ControlPlane:
    own_plane.declare(1)
    return own_plane


@TRANSPORTS
def test_ejected_node_finishes_what_runs_takes_nothing_new_and_comes_back(
    plane: ControlPlane, start_worker: StartWorker, transport: str
) -> None:
    start_worker("-c", "1", *QUEUE, POINTSMAN_TRANSPORT=transport)
    running = plane.publish("sample.busy", 3)
    plane.wait_for(running, "started")
    tell(plane, NAME)
    until_off(plane)
    task = plane.publish("noop")
    plane.wait_for(running, "succeeded")
    taken_by_nobody(plane, task)
    assert last_beat(plane)["queues"] == ["maintenance"]
    tell(plane)
    plane.wait_for(task, "succeeded")
    until_off(plane, False)


@TRANSPORTS
def test_node_that_starts_ejected_fetches_nothing(
    plane: ControlPlane, start_worker: StartWorker, transport: str
) -> None:
    tell(plane, NAME)
    task = plane.publish("noop")
    start_worker("-c", "1", *QUEUE, POINTSMAN_TRANSPORT=transport)
    until_off(plane)
    until_now(lambda: plane.events(kind="catalogue"), "it to come up")
    taken_by_nobody(plane, task)
    tell(plane)
    plane.wait_for(task, "succeeded")


@TRANSPORTS
def test_ejected_node_that_lost_its_connection_stays_off(
    plane: ControlPlane, start_worker: StartWorker, transport: str
) -> None:
    node = start_worker("-c", "1", *QUEUE, POINTSMAN_TRANSPORT=transport)
    until_now(lambda: plane.events(kind="catalogue"), "it to come up")
    tell(plane, NAME)
    until_off(plane)
    plane.redis.client_kill_filter(_type="normal", skipme=True)
    until_now(lambda: "Connection to broker lost" in node.text(), "it to notice")
    consuming = last_beat(plane)["consuming"]
    until_now(lambda: last_beat(plane)["consuming"] > consuming, "it to be connected again")
    task = plane.publish("noop")
    taken_by_nobody(plane, task)
    tell(plane)
    plane.wait_for(task, "succeeded")


def test_redis_that_lost_its_data_lets_nobody_back(
    plane: ControlPlane, valkey: Valkey, start_worker: StartWorker
) -> None:
    start_worker("-c", "1", *QUEUE)
    until_now(lambda: plane.events(kind="catalogue"), "it to come up")
    tell(plane, NAME)
    until_off(plane)
    valkey.kill()
    valkey.start()
    plane.declare(2)
    task = plane.publish("noop")
    until_now(lambda: plane.beats() and last_beat(plane)["epoch"] == 2, "it to beat again")
    taken_by_nobody(plane, task)
    assert last_beat(plane)["ejected"] is True
    tell(plane)
    plane.wait_for(task, "succeeded")


def test_message_that_waited_in_the_node_goes_back_to_postgres(plane: ControlPlane, start_worker: StartWorker) -> None:
    start_worker("-c", "1", "--prefetch-multiplier", "2", *QUEUE)
    running = plane.publish("sample.busy", 4)
    plane.wait_for(running, "started")
    behind = plane.publish("noop")
    until_now(lambda: plane.unacknowledged() == 2, "the node to fetch it")
    tell(plane, NAME)
    until_off(plane)
    assert plane.wait_for(behind, "ask").body["dispatch"] == 1
    until_now(lambda: plane.unacknowledged() == 0, "the message to be dropped")
    assert plane.kinds(running) == ["started", "succeeded"]
    assert plane.claim(behind) == {}


def test_queue_that_is_added_by_hand_is_left_alone_until_the_node_is_back(
    plane: ControlPlane, start_worker: StartWorker
) -> None:
    node = start_worker("-c", "1", *QUEUE)
    until_now(lambda: plane.events(kind="catalogue"), "it to come up")
    tell(plane, NAME)
    until_off(plane)
    assert "add consumer reports" in node.celery("control", "add_consumer", "reports").stdout
    until_now(lambda: "reports" not in node.celery("inspect", "active_queues").stdout, "it to be taken off that, too")
    task = plane.publish("noop", queue="reports", priority=6)
    beats_on(plane)
    assert plane.kinds(task) == []
    tell(plane)
    plane.wait_for(task, "succeeded")


def test_somebody_else_who_is_ejected_changes_nothing(plane: ControlPlane, start_worker: StartWorker) -> None:
    tell(plane, "other@test")
    start_worker("-c", "1", *QUEUE)
    plane.wait_for(plane.publish("noop"), "succeeded")
    assert last_beat(plane)["ejected"] is False

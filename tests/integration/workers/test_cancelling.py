"""A running attempt is cancelled in a real worker: by its own doing, and by force."""

import random
from collections.abc import Iterator

import pytest

from pointsman_contract.keys import claim
from tests.stand.waiting import until_now

from .conftest import LIBRARY, Valkey, Worker
from .support import ControlPlane


@pytest.fixture(scope="module")
def cancel_worker(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with a worker of one process: what runs next runs in the child of what ran before."""
    plane = ControlPlane(shared_valkey.url)
    plane.declare(1)
    log = tmp_path_factory.mktemp("cancel") / "log"
    node = Worker(shared_valkey.url, log, "-c", "1", "-n", "cancel@test", POINTSMAN_TASK_MODULES=LIBRARY)
    until_now(lambda: plane.events(kind="catalogue"), "the worker to come up")
    yield plane
    node.stop()
    node.end()


def running(plane: ControlPlane, task_type: str, *args: object) -> str:
    task = plane.publish(task_type, *args)
    plane.wait_for(task, "started")
    return task


@pytest.mark.parametrize("task_type", ["library.cancelled", "library.async_cancelled"])
def test_a_body_that_returns_when_it_is_cancelled_has_succeeded(cancel_worker: ControlPlane, task_type: str) -> None:
    task = running(cancel_worker, task_type, "return")
    cancel_worker.cancel(task, 60)
    assert cancel_worker.wait_for(task, "succeeded").body["result"] == '"cleaned up"'


@pytest.mark.parametrize("task_type", ["library.cancelled", "library.async_cancelled"])
def test_a_body_that_raises_when_it_is_cancelled_asks_for_no_retry(cancel_worker: ControlPlane, task_type: str) -> None:
    task = running(cancel_worker, task_type, "raise")
    cancel_worker.cancel(task, 60)
    body = cancel_worker.wait_for(task, "failed").body
    assert (body["error"]["type"], body["permanent"]) == ("workers.TaskCancelled", True)
    # Its process lives and runs the next task, which nobody cancelled.
    after = cancel_worker.publish("library.async", 2)
    assert cancel_worker.wait_for(after, "succeeded").body["result"] == "4"


def test_a_deaf_body_is_killed_after_its_grace_time_and_the_next_task_runs(cancel_worker: ControlPlane) -> None:
    task = running(cancel_worker, "library.deaf", 50)
    following = cancel_worker.publish("library.async", 3)
    cancel_worker.cancel(task, 1)
    body = cancel_worker.wait_for(task, "failed").body
    assert (body["error"]["type"], body["permanent"]) == ("workers.TaskCancelled", True)
    assert 1 <= body["run_seconds"] < 20
    assert cancel_worker.wait_for(following, "succeeded").body["result"] == "6"
    assert cancel_worker.kinds(task) == ["started", "failed"]
    until_now(lambda: cancel_worker.unacknowledged() == 0, "the acknowledgements")


def test_a_request_that_comes_after_the_end_hits_nobody(cancel_worker: ControlPlane) -> None:
    ended = cancel_worker.publish("library.async", 1)
    cancel_worker.wait_for(ended, "succeeded")
    deaf = running(cancel_worker, "library.deaf", 2.5)
    cancel_worker.redis.hset(f"pointsman:claim:{ended}", "cancel", "0")
    assert cancel_worker.wait_for(deaf, "succeeded").attempt == 1


def test_race_of_kills_against_ends_never_hits_the_next_task(cancel_worker: ControlPlane) -> None:
    chance = random.Random(7)
    victims, bystanders = [], []
    for _ in range(8):
        # They end at about the moment at which their parent is to kill them.
        victim = cancel_worker.publish("library.deaf", 0.4 + chance.random() / 2)
        bystanders.append(cancel_worker.publish("library.deaf", 0.2))
        victims.append(victim)
        cancel_worker.wait_for(victim, "started")
        cancel_worker.redis.hset(claim(victim), "cancel", "0.2")
    for bystander in bystanders:
        assert cancel_worker.wait_for(bystander, "succeeded").attempt == 1
        assert cancel_worker.kinds(bystander) == ["started", "succeeded"]
    for victim in victims:
        until_now(lambda victim=victim: len(cancel_worker.kinds(victim)) == 2, "its end")  # type: ignore[misc]  # bound here
        started, ended = cancel_worker.events(victim)
        assert started.kind == "started"
        assert ended.kind == "succeeded" or ended.body["error"]["type"] == "workers.TaskCancelled"

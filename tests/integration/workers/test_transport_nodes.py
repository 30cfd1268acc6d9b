"""Whole nodes on our transport: beside nodes on kombu's, killed, cut off, told what to consume."""

import os
import signal
from collections.abc import Callable

import psutil

from pointsman_contract.message import delivery_tag
from pointsman_contract.queues import DEFAULT_TOPOLOGY, STEPS, QueueSpec, list_key
from tests.integration.workers.conftest import Valkey, Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

StartWorker = Callable[..., Worker]
QUEUE = ("-Q", "maintenance")


def waiting(plane: ControlPlane) -> int:
    """Messages on the queue's lists."""
    return sum(plane.redis.llen(list_key("maintenance", step)) for step in STEPS)


def blocked(plane: ControlPlane) -> bool:
    return int(plane.redis.info("clients")["blocked_clients"]) > 0


def until_more_than(succeeded: int, plane: ControlPlane, what: str) -> None:
    until_now(lambda: len(plane.events(kind="succeeded")) > succeeded, what)


def test_nodes_of_both_transports_share_a_queue_while_their_connections_are_killed(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    start_worker("-c", "2", *QUEUE)
    start_worker("-c", "2", *QUEUE, POINTSMAN_TRANSPORT="stock")
    until_now(lambda: len(own_plane.events(kind="catalogue")) == 2, "both to come up")
    tasks = [own_plane.publish("sample.busy", 0.05) for _ in range(20)]
    for killed in range(3):
        done = len(own_plane.events(kind="succeeded"))
        own_plane.redis.client_kill_filter(_type="normal", skipme=True)
        tasks += [own_plane.publish("sample.busy", 0.05) for _ in range(10)]
        until_more_than(done, own_plane, f"progress after kill {killed}")
    until_now(lambda: waiting(own_plane) == 0, "the queue to be empty")
    # kombu may lose a message to a dead connection, or keep it unacknowledged, so not all need to succeed.
    assert {event.task for event in own_plane.events(kind="succeeded")} <= set(tasks)
    by = {event.body["worker"].split("@")[0] for event in own_plane.events(kind="succeeded")}
    assert by == {"node0", "node1"}


def test_nothing_is_lost_while_connections_are_killed(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    start_worker("-c", "2", *QUEUE)
    until_now(lambda: own_plane.events(kind="catalogue"), "it to come up")
    tasks: list[str] = []
    for killed in range(5):
        tasks += [own_plane.publish("sample.busy", 0.02) for _ in range(10)]
        done = len(own_plane.events(kind="succeeded"))
        own_plane.redis.client_kill_filter(_type="normal", skipme=True)
        until_more_than(done, own_plane, f"progress after kill {killed}")
    # A report whose answer got lost is told twice.
    until_now(lambda: {event.task for event in own_plane.events(kind="succeeded")} == set(tasks), "all to succeed")
    until_now(lambda: waiting(own_plane) + own_plane.unacknowledged() == 0, "nothing to be left")
    attempts = {(event.task, event.attempt) for event in own_plane.events(kind="succeeded")}
    assert len(attempts) == len(tasks), "a task ran twice"


def test_node_takes_from_queues_with_a_dot_and_a_hyphen_in_their_names(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    names = ("imports.eu", "imports-eu")
    queues = [*DEFAULT_TOPOLOGY.queues, *(QueueSpec(name=name, priority=5, sla_seconds=9) for name in names)]
    topology = DEFAULT_TOPOLOGY.model_copy(update={"queues": tuple(queues)}).model_dump_json()
    own_plane.declare(1)
    start_worker("-c", "1", "-Q", ",".join(names), POINTSMAN_TOPOLOGY=topology)
    tasks = {name: own_plane.publish("noop", queue=name) for name in names}
    for name, task in tasks.items():
        own_plane.wait_for(task, "succeeded")
        (event,) = own_plane.events(task, "succeeded")
        assert event.body["queue"] == name


def test_message_sent_to_a_frozen_node_is_not_lost_with_it(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    frozen = start_worker("-c", "1", *QUEUE)
    until_now(lambda: own_plane.events(kind="catalogue") and blocked(own_plane), "it to wait")
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    task = own_plane.publish("noop")
    assert waiting(own_plane) == 1
    os.killpg(frozen.process.pid, signal.SIGKILL)
    frozen.process.wait()
    start_worker("-c", "1", *QUEUE)
    own_plane.wait_for(task, "succeeded")


def test_message_of_a_killed_node_is_noted_and_its_beat_named_it(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    killed = start_worker("-c", "1", "--prefetch-multiplier", "2", *QUEUE)
    tasks = [own_plane.publish("sample.busy", 60) for _ in range(3)]
    tags = sorted(delivery_tag(task, 1) for task in tasks[:2])
    until_now(lambda: any(sorted(beat["reserved"]) == tags for beat in own_plane.beats()), "a beat to name them")
    psutil.Process(killed.process.pid).kill()
    killed.process.wait()
    assert sorted(own_plane.redis.hkeys("unacked")) == tags
    assert waiting(own_plane) == 1


def test_node_is_inspected_and_told_what_to_consume(plane: ControlPlane, shared_worker: Worker) -> None:
    assert "shared@test: OK" in shared_worker.celery("inspect", "ping").stdout
    assert "* {'name': 'maintenance'" in shared_worker.celery("inspect", "active_queues").stdout
    assert "no longer consuming" in shared_worker.celery("control", "cancel_consumer", "maintenance").stdout
    task = plane.publish("noop")
    urgent = plane.publish("noop", queue="critical", priority=10)
    plane.wait_for(urgent, "succeeded")
    assert plane.kinds(task) == []
    assert "add consumer maintenance" in shared_worker.celery("control", "add_consumer", "maintenance").stdout
    plane.wait_for(task, "succeeded")


def test_beat_names_what_control_commands_made_the_node_consume(plane: ControlPlane, shared_worker: Worker) -> None:
    def queues() -> list[str]:
        return list(next(beat for beat in plane.beats() if beat["name"] == "shared@test")["queues"])

    before = queues()
    shared_worker.celery("control", "add_consumer", "afterwards")
    until_now(lambda: queues() == [*before, "afterwards"], "the beat to name it")
    shared_worker.celery("control", "cancel_consumer", "afterwards")
    until_now(lambda: queues() == before, "the beat not to name it")


def test_worker_reconnects_when_valkey_restarts(
    own_plane: ControlPlane, valkey: Valkey, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    start_worker("-c", "1", *QUEUE)
    until_now(lambda: own_plane.events(kind="catalogue") and blocked(own_plane), "it to wait")
    valkey.kill()
    valkey.start()
    own_plane.declare(2)
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")

"""What must not hurt: killed children, time limits, Redis gone and back empty, an epoch that is not open."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pointsman_contract.keys import CONTROL
from pointsman_contract.message import VERSION
from tests.integration.workers.conftest import LIBRARY, Valkey, Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

StartWorker = Callable[..., Worker]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_child_killed_mid_task_is_reported_by_its_parent(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    start_worker("-c", "1")
    task = own_plane.publish("sample.die")
    event = own_plane.wait_for(task, "failed")
    assert event.body["error"]["type"] == "WorkerLost"
    assert not event.body.get("timed_out")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    assert own_plane.kinds(task) == ["started", "failed"]
    assert own_plane.claim(task)["state"] == "done"
    until_now(lambda: own_plane.unacknowledged() == 0, "the acknowledgement")
    until_now(lambda: own_plane.beats()[0]["running"] == [], "a beat without the attempt")


def test_body_that_exits_is_reported_as_failed(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    start_worker("-c", "1")
    task = own_plane.publish("sample.leave")
    assert own_plane.wait_for(task, "failed").body["error"]["type"] == "SystemExit"
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    assert own_plane.kinds(task) == ["started", "failed"]


def test_hard_time_limit_is_reported_by_the_parent(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    start_worker("-c", "1")
    task = own_plane.publish("sample.busy", 60, timelimit=(1.5, None))
    event = own_plane.wait_for(task, "failed")
    assert event.body["error"]["type"] == "TimeLimitExceeded"
    assert event.body["timed_out"] is True
    assert event.body["run_seconds"] >= 1
    until_now(lambda: own_plane.unacknowledged() == 0, "the acknowledgement")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    assert own_plane.kinds(task) == ["started", "failed"]


def test_soft_time_limit_fails_the_attempt(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    task = own_plane.publish("sample.busy", 60, timelimit=(30, 1))
    event = own_plane.wait_for(task, "failed")
    assert event.body["error"]["type"] == "SoftTimeLimitExceeded"
    assert event.body["timed_out"] is True
    caught = own_plane.publish("sample.busy", 2.5, "ignore", timelimit=(30, 1))
    assert own_plane.wait_for(caught, "succeeded").body["run_seconds"] >= 2
    assert worker.process.poll() is None


def test_gate_waits_until_the_epoch_is_open(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    task = own_plane.publish("noop")
    own_plane.redis.hset(CONTROL, "open", "0")
    start_worker("-c", "1")
    until_now(lambda: own_plane.unacknowledged() == 1, "the message to be taken")
    until_now(lambda: [beat for beat in own_plane.beats() if beat["counter"] > 1], "beats go on")
    assert own_plane.kinds(task) == []
    own_plane.open()
    own_plane.wait_for(task, "succeeded")


def test_gate_waits_while_memory_is_short(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    task = own_plane.publish("noop")
    own_plane.redis.hset(CONTROL, "memory_percent", "86")
    start_worker("-c", "1")
    until_now(lambda: own_plane.unacknowledged() == 1, "the message to be taken")
    own_plane.redis.hset(CONTROL, "memory_percent", "50")
    own_plane.wait_for(task, "succeeded")


def test_long_wait_at_the_gate_gives_the_message_back(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    task = own_plane.publish("noop")
    own_plane.redis.hset(CONTROL, "open", "0")
    worker = start_worker("-c", "1", POINTSMAN_GATE_WAIT_SECONDS="0.5")
    until_now(lambda: "goes back to its queue" in worker.text(), "the message to go back")
    own_plane.open()
    own_plane.wait_for(task, "succeeded")
    assert own_plane.kinds(task) == ["started", "succeeded"]


def test_warm_shutdown_gives_a_waiting_message_back(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    task = own_plane.publish("noop")
    own_plane.redis.hset(CONTROL, "open", "0")
    worker = start_worker("-c", "1", POINTSMAN_GATE_WAIT_SECONDS="60")
    until_now(lambda: own_plane.unacknowledged() == 1, "the message to be taken")
    until_now(lambda: "received" in worker.text(), "the message to reach a child")
    assert worker.stop() == 0
    assert own_plane.unacknowledged() == 0
    assert own_plane.redis.llen("maintenance\x06\x167") == 1
    assert own_plane.beats() == []
    own_plane.open()
    start_worker("-c", "1")
    own_plane.wait_for(task, "succeeded")


def test_warm_shutdown_ends_what_runs_and_takes_the_beat_away(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    task = own_plane.publish("sleep", 2)
    own_plane.wait_for(task, "started")
    until_now(own_plane.beats, "a beat")
    assert worker.stop() == 0
    assert own_plane.kinds(task) == ["started", "succeeded"]
    assert own_plane.unacknowledged() == 0
    assert own_plane.beats() == []


def test_outcome_is_appended_again_when_valkey_comes_back_empty(
    own_plane: ControlPlane, start_worker: StartWorker, valkey: Valkey
) -> None:
    own_plane.declare(1)
    start_worker("-c", "2")
    done = own_plane.publish("echo", "before")
    own_plane.wait_for(done, "succeeded")
    running = own_plane.publish("sleep", 6)
    own_plane.wait_for(running, "started")
    valkey.kill()
    valkey.start()
    until_now(own_plane.beats, "a beat on the new server")
    assert own_plane.beats()[0]["epoch"] == 0
    own_plane.declare(2, opened=False)
    until_now(lambda: own_plane.beats()[0]["epoch"] == 2, "a beat under the new epoch")
    again = own_plane.events(done, "succeeded")
    assert [event.attempt for event in again] == [1]
    own_plane.open()
    assert own_plane.wait_for(running, "succeeded").attempt == 1
    own_plane.wait_for(None, "catalogue")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")


def test_body_that_ends_while_valkey_is_away_is_reported_afterwards(
    own_plane: ControlPlane, start_worker: StartWorker, valkey: Valkey, tmp_path: Path
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    task = own_plane.publish("sample.until", str(tmp_path / "end"), str(tmp_path / "ledger"))
    own_plane.wait_for(task, "started")
    valkey.kill()
    (tmp_path / "end").touch()
    until_now(lambda: f"the outcome of task {task} is not accepted yet" in worker.text(), "a report that fails")
    valkey.start()
    own_plane.declare(2)
    assert own_plane.wait_for(task, "succeeded").attempt == 1
    assert len(lines(tmp_path / "ledger")) == 1


def test_outcome_outlives_its_child_when_valkey_is_away(
    own_plane: ControlPlane, start_worker: StartWorker, valkey: Valkey, tmp_path: Path
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    task = own_plane.publish("sample.until", str(tmp_path / "end"))
    own_plane.wait_for(task, "started")
    valkey.kill()
    (tmp_path / "end").touch()
    until_now(lambda: f"the outcome of task {task} is not accepted yet" in worker.text(), "a report that fails")
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    valkey.start()
    own_plane.declare(2)
    assert own_plane.wait_for(task, "succeeded").body["result"] == '"done"'


def test_recorded_outcome_is_not_appended_again(
    own_plane: ControlPlane, start_worker: StartWorker, valkey: Valkey
) -> None:
    own_plane.declare(1)
    start_worker("-c", "1")
    old = own_plane.publish("echo", "old")
    own_plane.wait_for(old, "succeeded")
    own_plane.record_all()
    # The keeper looks every half second; when it appends a later outcome again, it had looked.
    until_now(lambda: [beat for beat in own_plane.beats() if beat["counter"] > 2], "some seconds to pass")
    new = own_plane.publish("echo", "new")
    own_plane.wait_for(new, "succeeded")
    valkey.kill()
    valkey.start()
    own_plane.declare(2)
    own_plane.wait_for(new, "succeeded")
    assert own_plane.events(old) == []


def test_message_of_an_unknown_task_type_is_kept_until_redis_has_the_note_of_it(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    """No epoch is valid yet, so that nothing can be reported."""
    worker = start_worker("-c", "1")
    task = own_plane.publish("nobody.knows", age_seconds=1.0)
    until_now(lambda: "is dropped and reported" in worker.text(), "the message to arrive")
    assert own_plane.unacknowledged() == 1
    own_plane.declare(1)
    own_plane.wait_for(task, "unknown")
    until_now(lambda: own_plane.unacknowledged() == 0, "the acknowledgement")


def test_worker_outlives_a_redis_whose_memory_is_full(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    worker.process.send_signal(signal.SIGSTOP)
    own_plane.publish("noop")
    own_plane.redis.config_set("maxmemory", 1)
    worker.process.send_signal(signal.SIGCONT)
    until_now(lambda: "command not allowed when used memory" in worker.text(), "the refusal")
    own_plane.redis.config_set("maxmemory", 0)
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    assert worker.process.poll() is None


def test_parent_killed_takes_its_children_along(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "2")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    children = [psutil.Process(pid) for pid in worker.children()]
    worker.process.kill()
    worker.process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_pool_without_time_limits_is_refused(start_worker: StartWorker, valkey: Valkey) -> None:
    worker = start_worker("-P", "solo")
    assert worker.process.wait(120) != 0
    assert "POINTSMAN_ALLOW_POOL_WITHOUT_TIME_LIMITS" in worker.text()


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pool_without_time_limits_runs_managed_tasks_when_allowed(
    own_plane: ControlPlane, start_worker: StartWorker, pool: str
) -> None:
    own_plane.declare(1)
    worker = start_worker("-P", pool, "-c", "2", POINTSMAN_ALLOW_POOL_WITHOUT_TIME_LIMITS="true")
    own_plane.wait_for(own_plane.publish("echo", 1), "succeeded")
    until_now(lambda: own_plane.unacknowledged() == 0, "the acknowledgement")
    until_now(lambda: own_plane.beats(), "a beat")
    assert worker.stop() == 0


def test_worker_without_a_broker_says_what_to_do(tmp_path: Path) -> None:
    worker = Worker("", tmp_path / "log", POINTSMAN_DATA_DIR=str(tmp_path))
    del worker.environment["POINTSMAN_REDIS_URL"]
    worker.end()
    answer = worker.celery("worker")
    assert answer.returncode != 0
    assert "set POINTSMAN_REDIS_URL, or start ./scripts/up" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_queue_that_does_not_exist_is_refused(start_worker: StartWorker) -> None:
    worker = start_worker("-Q", "nowhere")
    assert worker.process.wait(120) != 0
    assert "nowhere" in worker.text()


def test_a_step_waits_for_redis_and_then_happens_once(
    own_plane: ControlPlane, start_worker: StartWorker, valkey: Valkey, tmp_path: Path
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1", POINTSMAN_TASK_MODULES=LIBRARY)
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    task = own_plane.publish("library.late_once", str(ledger), str(go))
    own_plane.wait_for(task, "started")
    valkey.kill()
    go.touch()
    until_now(lambda: "no beat: Redis does not answer" in worker.text(), "the parent to miss Redis")
    assert not ledger.exists()
    valkey.start()
    own_plane.declare(2)
    own_plane.wait_for(task, "succeeded")
    assert lines(ledger) == ["charged"]


def test_message_with_a_body_of_another_shape_does_not_end_the_worker(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    properties = {"delivery_info": {"exchange": "", "routing_key": "maintenance"}, "delivery_tag": "strange"}
    strange = {
        "body": '{"a": 1}',
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "noop", "id": "strange"},
        "properties": properties,
    }
    own_plane.redis.lpush("maintenance", json.dumps(strange))
    until_now(lambda: "are set aside: " in worker.text(), "the worker to say what it met")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    until_now(lambda: own_plane.unacknowledged() == 0, "nothing to be left")
    assert worker.process.poll() is None


@pytest.mark.parametrize(("away", "older"), [(2, "worker"), (-2, "control plane")])
def test_worker_two_contract_versions_away_is_refused_at_start(
    own_plane: ControlPlane, start_worker: StartWorker, away: int, older: str
) -> None:
    own_plane.declare(1)
    own_plane.redis.hset(CONTROL, "contract", VERSION + away)
    worker = start_worker("-c", "1")
    assert worker.process.wait(120) != 0
    assert f"The control plane speaks contract version {VERSION + away}, this worker {VERSION}" in worker.text()
    assert f"bring the {older} up to date" in worker.text()


def test_worker_one_contract_version_away_works(own_plane: ControlPlane, start_worker: StartWorker) -> None:
    own_plane.declare(1)
    own_plane.redis.hset(CONTROL, "contract", VERSION + 1)
    start_worker("-c", "1")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")


def test_worker_with_another_visibility_timeout_is_refused_at_start(
    own_plane: ControlPlane, start_worker: StartWorker
) -> None:
    own_plane.declare(1)
    start_worker("-c", "1")
    own_plane.wait_for(own_plane.publish("noop"), "succeeded")
    other = start_worker("-c", "1", POINTSMAN_VISIBILITY_TIMEOUT_SECONDS="120")
    assert other.process.wait(120) != 0
    assert "visibility timeout of 3600 s, this one has 120 s" in other.text()
    same = start_worker("-c", "1")
    until_now(lambda: len(own_plane.beats()) == 2, "the third to come up")
    assert same.process.poll() is None

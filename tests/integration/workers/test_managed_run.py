"""One message of the control plane, from the gate to its report."""

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from pointsman_contract.events import RESULT_BYTES, TRACEBACK_BYTES
from pointsman_contract.keys import claim
from pointsman_contract.nodes import AS_ROOT
from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

CANCELLED, RELEASED = "018f2f0e-0000-7000-8000-000000000001", "018f2f0e-0000-7000-8000-000000000002"


def test_result_is_reported_and_message_acknowledged(plane: ControlPlane) -> None:
    task = plane.publish("echo", 1, "two", queue="critical", priority=10, answer=42)
    event = plane.wait_for(task, "succeeded")
    assert json.loads(event.body["result"]) == {"args": [1, "two"], "kwargs": {"answer": 42}}
    assert (event.attempt, event.late) == (1, False)
    assert event.body["queue"] == "critical"
    assert event.body["task_type"] == "echo"
    assert event.body["dispatch"] == 1
    assert event.body["run_seconds"] >= 0
    assert plane.kinds(task) == ["started", "succeeded"]
    assert plane.claim(task)["state"] == "done"
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    assert plane.redis.exists(f"celery-task-meta-{task}") == 0


def test_task_returning_none_reports_no_result(plane: ControlPlane) -> None:
    assert "result" not in plane.wait_for(plane.publish("noop", 1, a=2), "succeeded").body


def test_failure_is_reported_with_its_traceback(plane: ControlPlane) -> None:
    event = plane.wait_for(plane.publish("fail", "boom"), "failed")
    assert event.body["error"]["type"] == "pointsman.tasks.diagnostics.DeliberateFailure"
    assert event.body["error"]["message"] == "boom"
    assert "diagnostics.py" in event.body["error"]["traceback"]
    assert "base.py" not in event.body["error"]["traceback"]
    assert not event.body.get("permanent")
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")


def test_permanent_error_is_reported_as_permanent(plane: ControlPlane) -> None:
    event = plane.wait_for(plane.publish("sample.permanent"), "failed")
    assert event.body["permanent"] is True
    assert event.body["error"]["type"] == "workers.PermanentError"


@pytest.mark.parametrize(
    ("task_type", "args", "error_type"),
    [
        ("sample.not_json", [], "ResultNotJSON"),
        ("sample.not_a_number", [], "ResultNotJSON"),
        ("sample.large", [RESULT_BYTES], "ResultTooLarge"),
        ("sample.replace", [], "ReplaceNotManaged"),
        ("sample.greet", [{"age": 3}], "ArgumentsNotValid"),
        ("sample.greet", [{"name": "A"}, 1, 2], "TypeError"),
    ],
)
def test_what_cannot_be_kept_fails_with_its_own_type(
    plane: ControlPlane, task_type: str, args: list[Any], error_type: str
) -> None:
    event = plane.wait_for(plane.publish(task_type, *args), "failed")
    assert event.body["error"]["type"] == error_type
    assert event.body.get("permanent", False) is (error_type != "TypeError")


def test_largest_result_is_kept(plane: ControlPlane) -> None:
    event = plane.wait_for(plane.publish("sample.large", RESULT_BYTES - 2), "succeeded")
    assert len(event.body["result"]) == RESULT_BYTES


def test_odd_characters_of_an_error_are_replaced(plane: ControlPlane) -> None:
    error = plane.wait_for(plane.publish("sample.odd_message"), "failed").body["error"]
    assert error["message"] == "nul \ufffd and surrogate \ufffd here"
    assert "\0" not in error["traceback"]


def test_long_traceback_keeps_its_newest_frames(plane: ControlPlane) -> None:
    error = plane.wait_for(plane.publish("sample.deep", 300), "failed").body["error"]
    assert len(error["traceback"].encode()) <= TRACEBACK_BYTES
    assert error["traceback"].endswith("KeyError: 'bottom'\n")


def test_memory_error_fails_the_attempt_and_not_the_worker(plane: ControlPlane, shared_worker: Worker) -> None:
    assert plane.wait_for(plane.publish("sample.out_of_memory"), "failed").body["error"]["type"] == "MemoryError"
    plane.wait_for(plane.publish("noop"), "succeeded")
    assert shared_worker.process.poll() is None


def test_models_are_built_from_json_arguments(plane: ControlPlane) -> None:
    event = plane.wait_for(plane.publish("sample.greet", {"name": "ada"}, loud=True), "succeeded")
    assert json.loads(event.body["result"]) == {"name": "ADA", "age": 0}


def test_second_message_of_an_attempt_does_not_run(plane: ControlPlane, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    task = plane.publish("sample.busy", 0, str(ledger))
    plane.wait_for(task, "succeeded")
    plane.publish("sample.busy", 0, str(ledger), task=task, dispatch=2)
    plane.wait_for(task, "duplicate")
    assert plane.kinds(task) == ["started", "succeeded", "duplicate"]
    assert len(ledger.read_text().splitlines()) == 1


def test_message_after_an_ended_attempt_runs_as_the_next(plane: ControlPlane) -> None:
    task = plane.publish("fail", "first")
    plane.wait_for(task, "failed")
    plane.publish("noop", task=task, after=1, dispatch=2)
    assert plane.wait_for(task, "succeeded").attempt == 2


def test_message_of_another_epoch_asks(plane: ControlPlane) -> None:
    task = plane.publish("noop", epoch=99)
    plane.wait_for(task, "ask")
    assert plane.kinds(task) == ["ask"]


def test_old_message_without_a_claim_asks(plane: ControlPlane) -> None:
    task = plane.publish("noop", age_seconds=3600)
    plane.wait_for(task, "ask")
    assert plane.kinds(task) == ["ask"]
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")


def test_expired_message_does_not_run(plane: ControlPlane) -> None:
    task = plane.publish("noop", expires_at=1.0)
    plane.wait_for(task, "expired")
    assert plane.kinds(task) == ["expired"]
    assert plane.claim(task)["state"] == "closed"


def test_cancelled_message_does_not_run(plane: ControlPlane) -> None:
    plane.redis.hset(claim(CANCELLED), mapping={"state": "closed", "reason": "cancelled"})
    plane.publish("noop", task=CANCELLED)
    marker = plane.publish("noop")
    plane.wait_for(marker, "succeeded")
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    assert plane.kinds(CANCELLED) == []


def test_released_claim_is_taken_by_the_next_attempt(plane: ControlPlane) -> None:
    plane.redis.hset(claim(RELEASED), mapping={"state": "released", "attempt": 3, "token": "x"})
    plane.publish("noop", task=RELEASED, after=3)
    assert plane.wait_for(RELEASED, "succeeded").attempt == 4


def test_outcome_is_late_when_the_claim_was_taken_away(plane: ControlPlane) -> None:
    task = plane.publish("sleep", 0.6)
    plane.wait_for(task, "started")
    plane.redis.hset(claim(task), mapping={"state": "released", "token": "someone else"})
    assert plane.wait_for(task, "succeeded").late is True
    assert plane.claim(task)["token"] == "someone else"


def test_unknown_task_type_is_reported_and_dropped(plane: ControlPlane) -> None:
    task = plane.publish("nobody.knows", queue="reports")
    event = plane.wait_for(task, "unknown")
    assert event.body["task_type"] == "nobody.knows"
    assert event.body["queue"] == "reports"
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    assert plane.redis.exists(f"celery-task-meta-{task}") == 0


def test_unsupported_message_version_is_reported_and_dropped(plane: ControlPlane, shared_worker: Worker) -> None:
    task = plane.publish("noop", version=99)
    plane.wait_for(task, "unknown")
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    assert plane.kinds(task) == ["unknown"]
    assert "version" in shared_worker.text()


def test_an_error_forges_no_line_of_the_workers_log_and_commands_no_terminal(
    plane: ControlPlane, shared_worker: Worker
) -> None:
    forged = "[2026-11-28 12:00:00,000: INFO/MainProcess] forged"
    task = plane.publish("fail", message=f"boom\n{forged} \x1b[2J", permanent=True)
    plane.wait_for(task, "failed")
    until_now(lambda: forged in shared_worker.text(), "the error in the log")
    assert not [line for line in shared_worker.text().splitlines() if line.startswith(forged)]
    assert "\x1b" not in shared_worker.text()
    assert plane.events(task, "failed")[0].body["error"]["message"].startswith("boom\n"), "only the log changes it"


def test_a_node_that_runs_as_root_says_so_once(shared_worker: Worker) -> None:
    said = shared_worker.text().count(f"{AS_ROOT}whoever gets code into a task owns this machine")
    assert said == (1 if os.geteuid() == 0 else 0)


def test_catalogue_names_every_task_with_its_schema(plane: ControlPlane) -> None:
    body = plane.events(kind="catalogue")[0].body
    specs = {spec["name"]: spec for spec in body["specs"]}
    assert {"noop", "echo", "sleep", "fail", "http_request", "sample.greet"} <= specs.keys()
    assert not any(name.startswith("celery.") for name in specs)
    assert specs["http_request"]["queue"] == "external_api"
    assert specs["echo"]["extra_positional"] is True
    assert specs["sleep"]["arguments_schema"]["required"] == ["seconds"]
    assert "Person" in specs["sample.greet"]["arguments_schema"]["$defs"]
    assert body["worker"] == plane.beats()[0]["owner"]


def test_beat_names_the_running_attempt(plane: ControlPlane) -> None:
    task = plane.publish("sleep", 5)
    plane.wait_for(task, "started")
    attempt = {"task": task, "attempt": 1, "token": plane.claim(task)["token"]}
    until_now(lambda: attempt in plane.beats()[0]["running"], "a beat with the attempt")
    beat = plane.beats()[0]
    assert (beat["name"], beat["pool"], beat["processes"], beat["epoch"]) == ("shared@test", "shared", 2, 1)
    later = until_now(lambda: [one for one in plane.beats() if one["counter"] > beat["counter"]], "the next beat")[0]
    until_now(lambda: plane.beats()[0]["consuming"] > later["consuming"], "the consumer's count")
    plane.wait_for(task, "succeeded")


def test_inspect_active_answers_from_another_shell(plane: ControlPlane, shared_worker: Worker, tmp_path: Path) -> None:
    task = plane.publish("sleep", 6)
    plane.wait_for(task, "started")
    urls = {"database_url": "", "redis_url": shared_worker.environment["POINTSMAN_REDIS_URL"], "api_url": ""}
    (tmp_path / "run.json").write_text(json.dumps({"supervisor_pid": shared_worker.process.pid, **urls}))
    del shared_worker.environment["POINTSMAN_REDIS_URL"]
    shared_worker.environment["POINTSMAN_DATA_DIR"] = str(tmp_path)
    try:
        answer = shared_worker.celery("inspect", "active", "--timeout", "10")
    finally:
        shared_worker.environment["POINTSMAN_REDIS_URL"] = urls["redis_url"]
    assert answer.returncode == 0, answer.stderr
    assert "shared@test" in answer.stdout
    assert task in answer.stdout


def test_hook_that_raises_no_exception_does_not_make_its_run_look_unclaimed(
    plane: ControlPlane, shared_worker: Worker
) -> None:
    task = plane.publish("sample.rude_hook")
    plane.wait_for(task, "succeeded")
    until_now(lambda: f"what follows the outcome of task {task} raised" in shared_worker.text(), "the log to tell")
    until_now(lambda: plane.unacknowledged() == 0, "the acknowledgement")
    assert plane.kinds(task) == ["started", "succeeded"]
    assert f"task {task} was not claimed" not in shared_worker.text()


@pytest.mark.parametrize(("how", "status"), [("returns", 0), ("exits", 3), ("raises", 1)])
def test_copy_that_a_body_forked_ends_with_the_body(
    plane: ControlPlane, shared_worker: Worker, how: str, status: int
) -> None:
    task = plane.publish("sample.forking", how)
    event = plane.wait_for(task, "succeeded")
    assert json.loads(event.body["result"]) == f"the parent, of one that ended with {status}"
    assert plane.kinds(task) == ["started", "succeeded"]
    assert f"a process that task sample.forking[{task}] forked has come to the end of its run" in shared_worker.text()
    assert _pool_processes(shared_worker) == shared_worker.children()


def _pool_processes(worker: Worker) -> list[int]:
    """Its children, and whatever they started."""
    return [child.pid for child in psutil.Process(worker.process.pid).children(recursive=True)]

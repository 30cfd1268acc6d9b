"""With ``log_json`` every line of a real node is a JSON object that says which task it is about."""

import json
import logging
from collections.abc import Callable
from typing import Any

import structlog

from pointsman_service.settings import Settings
from pointsman_service.telemetry import configure_logging
from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

BANNER = ("worker: Warm shutdown", " ", "--", "- ", "[config]", "[queues]", "[tasks]")


def lines(worker: Worker) -> list[dict[str, Any]]:
    """What a node has said. Fails for a line that is neither a JSON object nor what Celery prints."""
    said = [line for line in worker.text().splitlines() if line]
    assert [line for line in said if not line.startswith(("{", *BANNER))] == []
    return [json.loads(line) for line in said if line.startswith("{")]


def of(worker: Worker, task: str) -> list[dict[str, Any]]:
    return [line for line in lines(worker) if line.get("task_id") == task]


def test_every_line_of_a_node_is_json_and_names_its_task(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], caplog: Any
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "1", POINTSMAN_LOG_JSON="true", PYTHONWARNINGS="ignore:You")
    done = own_plane.publish("sample.says", "to\nall", 1, queue="email")
    failed = own_plane.publish("sample.says", "x", 0, max_attempts=1)
    dead = own_plane.publish("sample.die", max_attempts=1)
    unknown = own_plane.publish("sample.nothing")
    plain = worker.celery("call", "sample.add", "--args=[1, 2]").stdout.strip()
    own_plane.wait_for(dead, "failed")
    own_plane.wait_for(unknown, "unknown")
    own_plane.wait_for(plain, "native")
    until_now(lambda: any("WorkerLostError" in line["event"] for line in of(worker, dead)), "the parent to tell")
    until_now(lambda: len(of(worker, plain)) >= 2, "the plain run to be logged")
    assert worker.stop() == 0

    named = {"task_id": done, "task_type": "sample.says", "queue": "email", "attempt": 1}
    during = [line for line in of(worker, done) if line["logger"] != "celery.worker.strategy"]
    assert [{field: line[field] for field in named} for line in during] == [named] * len(during)
    assert {"celery.redirected", "sample", "celery.app.trace"} <= {line["logger"] for line in during}
    # One by its body, one by a thread that carries its run.
    assert [line["event"] for line in during if line["logger"] == "sample"] == ["to\nall", "from a thread"]
    received = next(line for line in of(worker, done) if line["logger"] == "celery.worker.strategy")
    assert (received["task_type"], received["level"]) == ("sample.says", "info")

    (raised,) = [line for line in of(worker, failed) if "exception" in line]
    assert (raised["level"], raised["attempt"], raised["queue"]) == ("error", 1, "maintenance")
    assert raised["exception"].splitlines()[-1].startswith("ZeroDivisionError: ")
    assert {line["task_type"] for line in of(worker, dead)} == {"sample.die"}
    assert of(worker, unknown)[0]["task_type"] == "sample.nothing"
    assert {line["attempt"] for line in of(worker, plain) if "attempt" in line} == {1}
    assert all(set(line) >= {"event", "level", "logger", "timestamp"} for line in lines(worker))


def test_a_line_of_the_service_has_the_same_fields(capsys: Any) -> None:
    from pointsman.run.json_log import JsonLine

    root = logging.getLogger()
    before, structured = (root.handlers[:], root.level), structlog.get_config()
    try:
        configure_logging(Settings(log_json=True))
        record = logging.LogRecord("a.module", logging.WARNING, "p", 1, "x is %s", ("y",), None)
        root.handlers[0].handle(record)
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        structlog.configure(**structured)
    service, worker = json.loads(capsys.readouterr().err), json.loads(JsonLine().format(record))
    assert service.keys() == worker.keys()
    moments = [line.pop("timestamp") for line in (service, worker)]
    assert service == worker == {"event": "x is y", "level": "warning", "logger": "a.module"}
    assert all(moment.endswith("Z") and len(moment) == len("2026-11-22T08:30:00.123456Z") for moment in moments)

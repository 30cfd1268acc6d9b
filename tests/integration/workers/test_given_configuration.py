"""A team's own project on a real node: its Celery configuration, its Beat, children that are replaced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane

_SETTINGS = """
CELERY_BROKER_URL = CELERY_RESULT_BACKEND = "redis://127.0.0.1:1/1"
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_ANNOTATIONS = {"shop.tasks.pid": {"max_retries": 1}}
CELERY_WORKER_MAX_TASKS_PER_CHILD = 2
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 180_000
CELERY_BEAT_SCHEDULE = {"tick": {"task": "shop.tasks.tick", "schedule": 0.2}}
"""
_CELERY = """
import os

if os.environ.get("SHOP_ON_POINTSMAN"):
    from pointsman import celery as app
else:
    from celery import Celery

    app = Celery("shop")
app.config_from_object("shop.settings", namespace="CELERY")
app.autodiscover_tasks(["shop.more"], related_name="found")
"""
_TASKS = """
import os

from shop.celery import app


class Declined(Exception):
    pass


@app.task
def pid(megabytes: int = 0) -> int:
    held = b"x" * (megabytes * 1_000_000)
    return os.getpid() if len(held) >= 0 else 0


@app.task
def tick() -> None:
    pass


@app.task(throws=(Declined,))
def charge() -> None:
    raise Declined("as it happens")
"""
_FOUND = """
from shop.celery import app


@app.task
def found() -> str:
    return "found"
"""


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """The variables that a node of the team is started with."""
    for name, text in {
        "__init__": "",
        "settings": _SETTINGS,
        "celery": _CELERY,
        "tasks": _TASKS,
        "more/__init__": "",
        "more/found": _FOUND,
    }.items():
        path = tmp_path / "shop" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "SHOP_ON_POINTSMAN": "1",
        "POINTSMAN_TASK_MODULES": "shop.tasks",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/1",
    }


def test_a_teams_configuration_and_beat_hold_and_no_task_is_lost_when_its_child_is_replaced(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], project: dict[str, str], tmp_path: Path
) -> None:
    own_plane.declare(1)
    worker = start_worker("-c", "2", "-B", "-s", str(tmp_path / "schedule"), **project)
    # Some fill up their children by their number, some by what they hold.
    tasks = [own_plane.publish("shop.tasks.pid", megabytes) for megabytes in (0, 0, 0, 200, 0, 200, 0)]
    found = own_plane.publish("shop.more.found.found")
    declined = own_plane.publish("shop.tasks.charge", max_attempts=1)
    pids = [own_plane.wait_for(task, "succeeded").body["result"] for task in tasks]
    assert own_plane.wait_for(found, "succeeded").body["result"] == '"found"'
    assert own_plane.wait_for(None, "native").body["task_type"] == "shop.tasks.tick"
    failed = own_plane.wait_for(declined, "failed").body

    assert all(own_plane.kinds(task) == ["started", "succeeded"] for task in [*tasks, found])
    assert max(map(pids.count, pids)) <= 2, "two tasks a child"
    assert pids.count(pids[3]) == pids[:4].count(pids[3]), "nothing more in a child that held too much"
    # No breaker counts what a task throws as it should; it is retried like any other failure.
    assert "blamed" not in failed
    assert failed["error"]["type"] == "shop.tasks.Declined"

    specs = own_plane.wait_for(None, "catalogue").body["specs"]
    (of_pid,) = [spec for spec in specs if spec["name"] == "shop.tasks.pid"]
    assert (of_pid["time_limit_seconds"], of_pid["retry"]["max_retries"]) == (120, 1)
    assert worker.stop() == 0
    said = worker.text()
    assert "Pointsman has its own: broker_url, result_backend" in said
    assert "INFO/ForkPoolWorker" in next(line for line in said.splitlines() if "raised expected: Declined" in line)
    assert "Traceback" not in said


def test_node_with_a_beat_that_would_send_nothing_does_not_start(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], project: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shop" / "settings.py").write_text("")
    own_plane.declare(1)
    worker = start_worker("-B", "-s", str(tmp_path / "schedule"), **project)
    assert worker.process.wait(120) == 1
    assert "Beat has nothing to send" in worker.text()

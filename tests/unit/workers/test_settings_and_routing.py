import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery.app.task import Context
from pydantic import ValidationError

from contract.message import HEADER
from contract.queues import DEFAULT_TOPOLOGY, STEPS, step_of
from contract.run_file import RunFile
from workers import celery, task
from workers.app import celery_url
from workers.request import acknowledged_late
from workers.routing import priority_of
from workers.settings import Settings


def test_url_does_not_show_in_the_settings_text() -> None:
    assert "secret" not in repr(Settings(redis_url="redis://:secret@host/0"))


def test_url_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValidationError, match="redis://"):
        Settings(redis_url="http://host")


def test_module_names_are_split_and_trimmed() -> None:
    assert Settings(task_modules=" a.b , c,,").modules() == ("a.b", "c")


def test_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="soft_time_limit_seconds"):
        Settings(time_limit_seconds=5, soft_time_limit_seconds=5)


def test_broker_of_a_running_supervisor_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POINTSMAN_REDIS_URL")
    running = RunFile(supervisor_pid=1, database_url="", redis_url="redis://127.0.0.1:2/0", api_url="")
    running.write(tmp_path)
    assert Settings(data_dir=tmp_path).require_redis_url() == "redis://127.0.0.1:2/0"


def test_missing_broker_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POINTSMAN_REDIS_URL")
    with pytest.raises(SystemExit, match="POINTSMAN_REDIS_URL"):
        Settings(data_dir=tmp_path).require_redis_url()


@pytest.mark.parametrize(
    ("url", "celerys"),
    [
        ("redis://:p%40ss@host:7000/2", "redis://:p%40ss@host:7000/2"),
        ("unix:///run/valkey.sock?db=2", "redis+socket:///run/valkey.sock?virtual_host=2"),
    ],
)
def test_url_is_said_in_celerys_words(url: str, celerys: str) -> None:
    assert celery_url(url) == celerys


@pytest.mark.parametrize("step", STEPS)
def test_every_step_survives_the_way_there_and_back(step: int) -> None:
    assert step_of(priority_of(step)) == step


@pytest.mark.parametrize("queue", [queue.name for queue in DEFAULT_TOPOLOGY.queues])
def test_queue_decides_the_step_of_a_message_without_a_priority(queue: str) -> None:
    spec = DEFAULT_TOPOLOGY.queue(queue)
    assert spec is not None
    routed = celery.amqp.Router().route({"queue": queue}, "noop")
    assert routed["priority"] == step_of(spec.priority)


@pytest.mark.parametrize("priority", [-1, 11, 2.5, "high"])
def test_priority_off_the_scale_is_refused(priority: object) -> None:
    with pytest.raises(ValueError, match="0 to 10"):
        celery.amqp.Router().route({"priority": priority}, "noop")


def test_queue_option_of_a_task_leads_there_without_a_warning() -> None:
    @task(name="unit.queued", queue="email", priority=9)
    def queued() -> None: ...

    registered: Any = celery.tasks["unit.queued"]
    options = registered._get_exec_options()
    assert (options["queue"], options["priority"]) == ("email", 9)


def test_direct_call_needs_no_worker() -> None:
    @task(name="unit.double")
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8


def test_eager_run_keeps_celerys_request() -> None:
    @task(name="unit.who", bind=True)
    def who(self):  # type: ignore[no-untyped-def]  # the case itself
        return self.request.id, self.request.called_directly

    assert who.apply(task_id="me").get() == ("me", False)


def test_managed_messages_are_acknowledged_late_and_native_ones_as_their_task_says() -> None:
    @task(name="unit.early", reject_on_worker_lost=True)
    def early() -> None: ...

    registered = celery.tasks["unit.early"]
    late = acknowledged_late(registered)
    assert (registered.acks_late, late.acks_late) == (False, True)
    assert (late.reject_on_worker_lost, late.acks_on_timeout, late.acks_on_failure) == (False, True, True)
    assert late.name == "unit.early"
    assert celery.tasks["unit.early"] is registered


def test_copy_of_a_managed_message_is_not_managed() -> None:
    celery.loader.import_default_modules()
    request = Context({"id": "x", "args": [], "kwargs": {}, HEADER: {"version": 1}, "delivery_info": {}})
    assert HEADER in (request.headers or {})
    copy = celery.tasks["noop"].signature_from_request(request)
    assert HEADER not in (copy.options["headers"] or {})


def test_calling_a_task_needs_no_broker_and_no_worker(tmp_path: Path) -> None:
    code = (
        "import sys, workers; assert 'workers.steps' not in sys.modules\n"
        "@workers.task\n"
        "def double(number): return 2 * number\n"
        "assert double(2) == 4 and double.apply((3,)).get() == 6"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "POINTSMAN_DATA_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)

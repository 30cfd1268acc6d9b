import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery.app.task import Context
from pydantic import ValidationError

from pointsman import celery, task
from pointsman.app import PointsmanCelery, broker_url, celery_url, configuration
from pointsman.parent.request import acknowledged_late
from pointsman.settings import Settings, settings
from pointsman.task_type.routing import priority_of
from pointsman_contract.message import HEADER
from pointsman_contract.queues import DEFAULT_TOPOLOGY, STEPS, step_of
from pointsman_contract.run_file import RunFile


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


@pytest.mark.parametrize(
    "words",
    [["-m", "celery", "-A", "pointsman", "worker"], ["-c", "import pointsman; pointsman.celery.conf.broker_url"]],
)
def test_worker_with_a_bad_setting_says_so_in_one_line(words: list[str], tmp_path: Path) -> None:
    environment = {"POINTSMAN_DATA_DIR": str(tmp_path)}
    environment["POINTSMAN_KEPT_BYTES"] = "1"
    ended = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    line = "POINTSMAN_KEPT_BYTES: Input should be greater than or equal to 1048576\n"
    assert (ended.returncode, ended.stderr) == (2, line)


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
        ("rediss://host/0", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_ca_certs=/ca.pem", "rediss://host/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
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


class Sent(Exception):
    """Carries what would have been sent."""

    def __init__(self, queue: str, step: int) -> None:
        self.queue, self.step = queue, step


@pytest.fixture
def routed_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where a plain call of an email task with priority 2 goes under given routes: queue and Redis step."""

    def route(routes: dict[str, Any], **options: Any) -> tuple[str, int]:
        monkeypatch.setenv("POINTSMAN_TASK_ROUTES", json.dumps(routes))
        settings.cache_clear()
        app = PointsmanCelery("of_the_test", task_cls="pointsman.base:ManagedTask", set_as_current=False)
        app.add_defaults(configuration)

        @app.task(name="unit.routed", queue="email", priority=2, ignore_result=True, shared=False)
        def routed() -> None: ...

        def send(*_: object, **sent: Any) -> None:
            raise Sent(sent["queue"].name, sent["priority"])

        monkeypatch.setattr(type(app.amqp), "send_task_message", property(lambda _: send))
        with pytest.raises(Sent) as raised:
            routed.apply_async(**options)
        app.close()
        return raised.value.queue, raised.value.step

    return route


def test_plain_call_goes_where_the_control_plane_would_send_it(routed_to: Any) -> None:
    with_priority = {"unit.*": {"queue": "reports", "priority": 9}}
    assert routed_to({}) == ("email", step_of(2))
    assert routed_to({"unit.*": "reports"}) == ("reports", step_of(2))
    assert routed_to(with_priority) == ("reports", step_of(9))
    assert routed_to(with_priority, priority=0) == ("reports", step_of(0))
    assert routed_to({"unit.*": "reports"}, queue="critical") == ("critical", step_of(2))


def test_call_by_name_alone_follows_the_route_and_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = {"elsewhere.*": {"queue": "email", "priority": 10}, "other": "reports"}
    monkeypatch.setenv("POINTSMAN_TASK_ROUTES", json.dumps(routes))
    settings.cache_clear()
    app = PointsmanCelery("of_the_test", set_as_current=False)
    app.add_defaults(configuration)
    router = app.amqp.Router()
    for name, queue, step in (("elsewhere.f", "email", step_of(10)), ("other", "reports", step_of(6))):
        found = router.route({}, name)
        assert (found["queue"].name, found["priority"]) == (queue, step)
    app.close()


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
        "import sys, pointsman; assert 'pointsman.parent.steps' not in sys.modules\n"
        "@pointsman.task\n"
        "def double(number): return 2 * number\n"
        "assert double(2) == 4 and double.apply((3,)).get() == 6"
    )
    environment = {"POINTSMAN_DATA_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(
    ("url", "hidden", "whole"),
    [
        ("redis://:secret@h:1/2", "redis://:**@h:1/2", "redis://:secret@h:1/2"),
        ("rediss://u:secret@h:1/0", "rediss://u:**@h:1/0", "rediss://u:secret@h:1/0"),
        (
            "unix:///tmp/valkey.sock?db=2",
            "redis+socket:///tmp/valkey.sock",
            "redis+socket:///tmp/valkey.sock?virtual_host=2",
        ),
    ],
)
def test_tools_that_ask_for_the_broker_are_told_a_scheme_they_know(url: str, hidden: str, whole: str) -> None:
    """Flower does: of a scheme that it does not know it shows no queue."""
    connection = celery._connection(broker_url(url))
    assert connection.transport_cls.startswith("pointsman")
    assert connection.as_uri() == hidden
    assert connection.as_uri(include_password=True).partition("?ssl")[0] == whole
    assert connection.clone().as_uri() == hidden

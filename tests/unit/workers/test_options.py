import importlib
from pathlib import Path
from typing import Any

import celery as plain_celery
import pytest
from celery.exceptions import DuplicateTaskNameWarning  # type: ignore[attr-defined]  # not in celery-types

from pointsman import CriticalTask, EmailTask, ExternalAPITask, MaintenanceTask, ManagedTask, ReportTask, celery
from pointsman.app import PointsmanCelery, configuration
from pointsman.errors import OptionNotHonoured
from pointsman.parent.catalogue import Catalogue
from pointsman.task_type.options import check
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_contract.retry import RetryPolicy


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"queue": "nowhere"}, "nowhere"),
        ({"time_limit": 0}, "no time limit"),
        ({"time_limit": 10, "soft_time_limit": 10}, "soft time limit"),
        ({"rate_limit": "10/fortnight"}, "rate_limit"),
        ({"rate_limit": "fast"}, "rate_limit"),
        ({"expires": 60}, "expires_at"),
        ({"serializer": "pickle"}, "serializer"),
        ({"mandatory": True}, "the broker lost"),
        ({"compression": "zlib"}, "compression"),
        ({"max_retries": None}, "max_retries"),
        ({"priority": 11}, "priority 11 is not a whole number from 0 to 10"),
        ({"priority": True}, "priority True"),
        ({"time_limit": -5}, "time_limit -5"),
        ({"time_limit": float("inf")}, "time_limit inf"),
        ({"time_limit": "60"}, "time_limit '60'"),
        ({"soft_time_limit": "soon"}, "soft_time_limit 'soon'"),
        ({"soft_time_limit": -1}, "soft_time_limit -1"),
        ({"rate_limit": float("nan")}, "rate_limit nan"),
        ({"retry_kwargs": None}, "retry_kwargs must be a dictionary"),
        ({"retry_backoff": float("inf")}, "cannot be read"),
        ({"retry_backoff": "soon"}, "its retry options cannot be read: could not convert string to float: 'soon'"),
        ({"autoretry_for": ValueError}, "its retry options cannot be read"),
        ({"Request": "celery.worker.request:Request"}, "Request cannot be honoured"),
        ({"Strategy": "celery.worker.strategy:other"}, "Strategy cannot be honoured"),
        ({"max_attempts": 2}, "there is no option max_attempts: max_retries says"),
        ({"attempt": 2}, "there is no option attempt"),
        ({"cancelled": True}, "there is no option cancelled"),
        ({"is_managed": False}, "there is no option is_managed"),
        ({"progress": 1}, "there is no option progress"),
        ({"once": True}, "there is no option once"),
        ({"base": ExternalAPITask, "http": None}, "there is no option http"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(make: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionNotHonoured, match=named):
        check(make(**options), DEFAULT_TOPOLOGY, RetryPolicy())


@pytest.mark.parametrize(
    "options",
    [
        {"rate_limit": "10/m"},
        {"rate_limit": 5},
        {"ignore_result": True},
        {"acks_late": True},
        {"throws": (KeyError,)},
        {"track_started": True},
        {"serializer": "json"},
        {"time_limit": 20, "soft_time_limit": 10},
        {"soft_time_limit": 0},
        {"on_failure": print},
        {"managed": True},
        {"dependencies": ["smtp"], "fail_fast": True},
    ],
)
def test_what_celery_does_as_it_says_passes(make: Any, options: dict[str, Any]) -> None:
    check(make(**options), DEFAULT_TOPOLOGY, RetryPolicy())


def test_a_mistyped_option_is_refused_with_the_right_one(make: Any) -> None:
    with pytest.raises(OptionNotHonoured, match="there is no option retry_backof, did you mean retry_backoff"):
        check(make(retry_backof=True), DEFAULT_TOPOLOGY, RetryPolicy())


def test_an_option_of_the_tasks_own_base_passes(make: Any) -> None:
    assert make(base=ExternalAPITask, read_seconds=3.0).read_seconds == 3.0


def test_a_worker_names_every_task_it_cannot_start_with(make: Any) -> None:
    first, second = make(queue="nowhere"), make(time_limit=0)
    with pytest.raises(SystemExit) as refused:
        Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy())
    assert first.name in str(refused.value)
    assert second.name in str(refused.value)


def test_a_task_that_cannot_be_published_is_named(make: Any) -> None:
    task = make(name="n" * 300)
    with pytest.raises(
        SystemExit, match=rf"Task {task.name}: it cannot be published: name: String should have at most"
    ):
        Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy())


def test_a_base_that_would_run_ungated_is_refused(make: Any) -> None:
    task = make(base=plain_celery.Task)
    with pytest.raises(SystemExit, match=rf"{task.name}: its base must be derived from pointsman\.ManagedTask"):
        Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy())


@pytest.mark.parametrize("base", [None, plain_celery.Task])
def test_a_task_for_plain_celery_alone_is_not_published_and_keeps_no_worker_from_starting(make: Any, base: Any) -> None:
    task = make(base=base, managed=False, expires=60, queue="nowhere", time_limit=0, option_of_its_own=7)
    found = Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy())
    assert task.name not in [spec.name for spec in found.specs]
    assert task in found.plain
    assert (task.expires, task.option_of_its_own) == (60, 7)


def test_a_base_may_say_that_its_tasks_are_for_plain_celery_alone(make: Any) -> None:
    class Legacy(plain_celery.Task):  # type: ignore[type-arg]  # generic in the stubs only
        abstract = True
        managed = False

    assert make(base=Legacy) in Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy()).plain


def test_what_celery_cannot_read_is_refused_of_plain_tasks_too(make: Any) -> None:
    make(managed=False, autoretry_for=(ValueError,), retry_backoff="soon")
    with pytest.raises(SystemExit, match="its retry options cannot be read"):
        Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy())


@pytest.mark.parametrize(
    "name",
    ["/charge", "charge/", "billing//charge", ".", "billing/..", "a\nb", "a\0b", "billing/history", "a/force-open"],
)
def test_a_name_that_no_url_leads_to_is_refused(make: Any, name: str) -> None:
    with pytest.raises(OptionNotHonoured, match="no URL leads to its name"):
        check(make(name=name), DEFAULT_TOPOLOGY, RetryPolicy())


@pytest.mark.parametrize("name", ["billing/charge", "history", "history/all", "a b?c#d%e", "größe", "..."])
def test_a_name_that_a_url_can_hold_passes(make: Any, name: str) -> None:
    check(make(name=name), DEFAULT_TOPOLOGY, RetryPolicy())


def an_application() -> PointsmanCelery:
    app = PointsmanCelery("twice", task_cls="pointsman.base:ManagedTask", set_as_current=False)
    app.add_defaults(configuration)
    return app


def one() -> None: ...


def other() -> None: ...


def test_two_functions_of_one_name_are_refused_with_their_places() -> None:
    app = an_application()
    decorate: Any = app.task
    decorate(name="twice", queue="email")(one)
    decorate(name="twice", queue="reports")(other)
    with pytest.warns(DuplicateTaskNameWarning):
        app.finalize()
    with pytest.raises(SystemExit) as refused:
        Catalogue.of(app, DEFAULT_TOPOLOGY, RetryPolicy())
    assert str(refused.value) == (
        f"Task twice: two functions have this name, {__file__}:{one.__code__.co_firstlineno} and "
        f"{__file__}:{other.__code__.co_firstlineno}: give one of them another."
    )
    task: Any = app.tasks["twice"]
    assert task.queue == "email", "the second one changes nothing of the first"


def test_a_class_and_a_function_of_one_name_are_refused_too() -> None:
    class Twice(ManagedTask):
        name = "twice"

        def run(self) -> None: ...

    app = an_application()
    decorate: Any = app.task
    decorate(name="twice")(one)
    app.finalize()
    with pytest.warns(DuplicateTaskNameWarning):
        app.register_task(Twice())
    with pytest.raises(SystemExit, match="Task twice: two functions have this name"):
        Catalogue.of(app, DEFAULT_TOPOLOGY, RetryPolicy())


def test_a_module_that_is_loaded_twice_is_no_second_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = an_application()
    monkeypatch.setattr("tests.unit.workers.test_options.twice_app", app, raising=False)
    (tmp_path / "loaded_twice.py").write_text(
        "from tests.unit.workers import test_options\n"
        "@test_options.twice_app.task(name='once')\nasync def f(): ...\n"
        "@test_options.twice_app.task(name='bound', bind=True, autoretry_for=(ValueError,))\ndef g(self): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.reload(importlib.import_module("loaded_twice"))
    app.finalize()
    names = [spec.name for spec in Catalogue.of(app, DEFAULT_TOPOLOGY, RetryPolicy()).specs]
    assert names == ["bound", "once"]


@pytest.mark.parametrize(
    ("base", "queue", "attempts"),
    [
        (CriticalTask, "critical", 4),
        (EmailTask, "email", 6),
        (ReportTask, "reports", 3),
        (ExternalAPITask, "external_api", 6),
        (MaintenanceTask, "maintenance", 2),
    ],
)
def test_each_base_has_the_queue_limits_and_retries_of_its_kind(
    make: Any, base: type[Any], queue: str, attempts: int
) -> None:
    task = make(base=base)
    assert task.queue == queue
    assert 0 < task.soft_time_limit < task.time_limit
    assert check(task, DEFAULT_TOPOLOGY, RetryPolicy()).policy.max_attempts == attempts
    assert make(base=base, queue="critical", time_limit=5000).queue == "critical", "a task overrides its base"

"""What a team's own Celery configuration may say to Pointsman's application."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery.apps.beat import Beat
from celery.beat import PersistentScheduler, Scheduler, Service

from pointsman.app import PointsmanCelery, configuration
from pointsman.settings import settings
from pointsman.task_type.given import beat_starts, check_given, check_schedule

OURS = "redis://127.0.0.1:6390/0"
THEIRS = "redis://127.0.0.1:6391/1"
SCHEDULE = {"tick": {"task": "shop.tick", "schedule": 1.0}}


@pytest.fixture(autouse=True)
def _broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("POINTSMAN_REDIS_URL", OURS)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def app() -> PointsmanCelery:
    return PointsmanCelery("given", task_cls="pointsman.base:ManagedTask", set_as_current=False)


def nothing() -> None: ...


def module(**values: Any) -> ModuleType:
    found = ModuleType("shop_settings")
    vars(found).update(values)
    return found


@pytest.mark.parametrize("late", [False, True])
def test_what_can_hold_of_a_given_configuration_holds_and_our_promises_stand(app: PointsmanCelery, late: bool) -> None:
    if late:
        # As in a worker, which has read the configuration before it imports the module that gives one.
        assert app.conf.task_acks_late is False
    given = module(
        CELERY_BROKER_URL=THEIRS,
        CELERY_RESULT_BACKEND=THEIRS,
        CELERY_ACCEPT_CONTENT=["json", "pickle"],
        CELERY_TASK_ACKS_LATE=True,
        CELERY_INCLUDE=["shop.tasks"],
        CELERY_TASK_TIME_LIMIT=120,
        CELERY_TASK_SOFT_TIME_LIMIT=100,
        CELERY_TASK_ANNOTATIONS={"shop.tick": {"rate_limit": "10/s", "max_retries": 1}},
        CELERY_WORKER_MAX_TASKS_PER_CHILD=3,
        CELERY_WORKER_MAX_MEMORY_PER_CHILD=200_000,
        CELERY_BEAT_SCHEDULE=SCHEDULE,
        CELERY_TIMEZONE="Europe/Berlin",
    )
    app.config_from_object(given, namespace="CELERY")
    ours = configuration()
    assert [name for name, value in ours.items() if app.conf.get(name) != value] == [
        "task_time_limit",
        "task_soft_time_limit",
        "include",
    ]
    assert list(app.conf.include) == [*ours["include"], "shop.tasks"]
    assert app.left_out == ["accept_content", "broker_url", "result_backend", "task_acks_late"]
    assert (app.conf.worker_max_tasks_per_child, app.conf.worker_max_memory_per_child) == (3, 200_000)
    assert (app.conf.get("beat_schedule"), app.conf.get("timezone")) == (SCHEDULE, "Europe/Berlin")

    tick = app.task(name="shop.tick")(nothing)
    other = app.task(name="shop.other", time_limit=5, soft_time_limit=4)(nothing)
    assert (tick.time_limit, tick.soft_time_limit, tick.rate_limit, tick.max_retries) == (120, 100, "10/s", 1)
    assert other.time_limit == 5


def test_setting_of_ours_wins_over_a_given_time_limit(app: PointsmanCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_TIME_LIMIT_SECONDS", "60")
    settings.cache_clear()
    app.config_from_object(module(task_time_limit=120))
    assert app.conf.task_time_limit == 60
    assert app.left_out == ["task_time_limit"]


def test_node_says_what_does_not_hold(
    app: PointsmanCelery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config_from_object(module(broker_url="redis://:hunter2@cache/0", task_acks_late=True, task_time_limit=5))
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://:hunter2@cache/0")
    with caplog.at_level(logging.WARNING):
        check_given(app)
    assert caplog.messages == [
        "of your Celery configuration does not hold here, where Pointsman has its own: broker_url, task_acks_late",
        "CELERY_RESULT_BACKEND names no server of Pointsman's and is not used here",
    ]


@pytest.mark.parametrize("before", [False, True])
def test_assignment_that_a_promise_rests_on_is_refused_at_start(app: PointsmanCelery, before: bool) -> None:
    if not before:
        assert not app.conf.task_acks_late
    app.conf.task_acks_late = True
    app.conf.update(broker_url="redis://:hunter2@cache/0", task_time_limit=7, result_expires=1)
    with pytest.raises(SystemExit, match=r"app\.conf\.broker_url, app\.conf\.task_acks_late: set by your code") as told:
        check_given(app)
    assert "hunter2" not in str(told.value)


def test_assignment_that_no_promise_rests_on_is_taken(app: PointsmanCelery) -> None:
    app.conf.update(task_time_limit=7, beat_schedule=SCHEDULE, task_annotations={"*": {"rate_limit": "1/s"}})
    check_given(app)
    tick = app.task(name="shop.tick")(nothing)
    assert (tick.time_limit, tick.rate_limit) == (7, "1/s")


def test_servers_are_ours_whatever_the_variables_of_celery_say(
    app: PointsmanCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"):
        monkeypatch.setenv(f"CELERY_{name}", THEIRS)
    for made in (app.connection(), app.connection_for_read(), app.connection_for_write()):
        assert (made.port, made.virtual_host) == (6390, "0")
    assert app.connection(THEIRS).port == 6391
    backend: Any = app.backend
    assert backend.connparams["port"] == 6390


def test_beat_that_would_send_nothing_does_not_start(app: PointsmanCelery, tmp_path: Path) -> None:
    service = Service(app, schedule_filename=str(tmp_path / "schedule"))
    with pytest.raises(SystemExit, match="Beat has nothing to send"):
        beat_starts(service)
    app.conf.beat_schedule = SCHEDULE
    beat_starts(service)
    service.scheduler.close()


def test_beat_is_refused_by_its_process(app: PointsmanCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Beat(app=app, scheduler="celery.beat:Scheduler", quiet=True)
    # What it does for its process held for the tests that follow: they logged errors alone, and Ctrl-C was its own.
    monkeypatch.setattr(beat, "setup_logging", lambda: None)
    monkeypatch.setattr(beat, "install_sync_handler", lambda _: None)
    with pytest.raises(SystemExit, match="Beat has nothing to send"):
        beat.start_scheduler()


class _OfADatabase(Scheduler):
    """As django-celery-beat has one: its schedule may come later."""


def test_only_celerys_own_scheduler_can_be_known_to_be_empty(app: PointsmanCelery) -> None:
    check_schedule(app, _OfADatabase)
    check_schedule(app, "django_celery_beat.schedulers:DatabaseScheduler")
    for scheduler in (PersistentScheduler, "celery.beat:PersistentScheduler", "celery.beat.PersistentScheduler"):
        with pytest.raises(SystemExit):
            check_schedule(app, scheduler)

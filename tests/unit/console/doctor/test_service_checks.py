"""What the doctor makes of facts about the control plane, its workers and its channels, without any server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import QueueSpec
from pointsman_service.channel_settings import EmailChannel, WebhookChannel
from pointsman_service.console.doctor.channel_checks import channels
from pointsman_service.console.doctor.finding import Level, Unknown, exit_status
from pointsman_service.console.doctor.limit_checks import time_limits
from pointsman_service.console.doctor.process_checks import contract, epoch, leader, leaders, recorder
from pointsman_service.console.doctor.redis_facts import RedisFacts
from pointsman_service.console.doctor.service_facts import ServiceFacts
from pointsman_service.console.doctor.worker_checks import queue, queues, task_types, workers
from pointsman_service.observe.explain import sentences
from pointsman_service.observe.roles import LedRole
from pointsman_service.observe.workers import WorkerFigures
from pointsman_service.settings import Settings
from pointsman_service.store.alerts.deliveries import DeliveryRow
from pointsman_service.store.leadership import Holder
from pointsman_service.store.queues.pausing import QueuePause
from pointsman_service.store.streams.epochs import Epoch

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LEADS = Holder("host:1:ab", 4.0, "pointsman recorder", 7200.0, is_there=True)
WELL = ServiceFacts(
    holders={"dispatcher": LEADS, "recorder": LEADS, "epoch": LEADS}, epoch=Epoch(3, "abc", NOW, 3600.0),
    positions={}, recorded_seconds_ago=1.0, task_types=[TaskTypeSpec(name="echo", time_limit_seconds=300)],
    pauses={}, oldest_seconds={}, last_tried={},
)  # fmt: skip
REDIS = RedisFacts(
    info={"run_id": "abc"}, epoch=3, epoch_run_id="abc", is_open=True, contract="1", visibility_timeout_seconds=3600,
    ahead_seconds=0.0, unsure_seconds=0.0, beats=1,
)  # fmt: skip
EMAIL = QueueSpec(name="email", priority=7, sla_seconds=5)


def worker(name: str = "email@a", live: bool | None = True, **changes: Any) -> WorkerFigures:
    figures = WorkerFigures(
        name=name, pool="email", queues=["email"], processes=2, busy=0, utilization=0.0, heartbeat_age_seconds=1.0,
        live=live, pid=1, host="a", started_at=NOW, contract=1,
    )  # fmt: skip
    return replace(figures, **changes)


def test_a_leader_is_named_with_its_process_and_since_when_it_is_there() -> None:
    line = leader(LedRole.RECORDER, LEADS)
    assert line.level is Level.OK
    assert line.says == "process 1 on host (pointsman recorder), there for 2.0 h, leads"


@pytest.mark.parametrize("role", list(LedRole))
def test_a_role_that_nobody_has_is_a_fault_that_says_what_stands_still(role: LedRole) -> None:
    for holder in (None, replace(LEADS, left_seconds=-90.0), Holder("", -90.0, None, None, is_there=False)):
        line = leader(role, holder)
        assert line.level is Level.FAULT
        assert f"python -m pointsman_service {role}" in line.what_to_do
        assert line.says.endswith(f": {sentences.without(role)}"), "as the alert says it"


def test_a_leader_whose_connection_is_gone_is_a_warning() -> None:
    assert leader(LedRole.RECORDER, replace(LEADS, is_there=False)).level is Level.WARNING


def test_who_stands_in_for_the_reconciler_is_named() -> None:
    line = leader(LedRole.RECONCILER, None, LEADS)
    assert "process 1 on host (pointsman recorder), there for 2.0 h, looks after alerts" in line.says


def test_lag_is_a_fault_only_when_nothing_is_written_down() -> None:
    given = Settings()
    assert recorder(WELL, 0.0, 0, given).says == "every report is written down"
    assert recorder(WELL, 12.0, 500, given).level is Level.OK
    assert recorder(WELL, 45.0, 500, given).level is Level.WARNING
    assert recorder(WELL, 1.0, 200_000, given).level is Level.WARNING
    assert recorder(replace(WELL, recorded_seconds_ago=45.0), 45.0, 500, given).level is Level.FAULT
    assert recorder(replace(WELL, recorded_seconds_ago=None), 45.0, 500, given).level is Level.FAULT
    assert recorder(WELL, None, None, given).level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("service", "redis", "level", "word"),
    [
        (WELL, REDIS, Level.OK, "epoch 3 is open"),
        (replace(WELL, epoch=None), REDIS, Level.FAULT, "no epoch"),
        (replace(WELL, epoch=Epoch(3, "abc", None, 2.0)), replace(REDIS, is_open=False), Level.WARNING, "census"),
        (replace(WELL, epoch=Epoch(3, "abc", None, 90.0)), replace(REDIS, is_open=False), Level.FAULT, "census"),
        (WELL, replace(REDIS, info={"run_id": "other"}), Level.WARNING, "restarted"),
        (WELL, replace(REDIS, epoch=7), Level.FAULT, "two installations"),
        (WELL, replace(REDIS, epoch=None), Level.WARNING, "does not know"),
        (WELL, replace(REDIS, is_open=False), Level.WARNING, "is open"),
        (WELL, Unknown("Redis is away"), Level.UNKNOWN, "Redis is away"),
    ],
)
def test_redis_beside_the_epoch_of_postgres(service: ServiceFacts, redis: Any, level: Level, word: str) -> None:
    line = epoch(service, redis, Settings())
    assert line.level is level
    assert word in line.says


def test_nodes_are_counted_and_silent_and_ejected_ones_named() -> None:
    assert workers([worker()])[0].says == "1 node with 2 processes"
    assert workers([worker(), worker("b", live=False)])[0].says.endswith("silent within the last hour: b")
    assert workers([worker(), worker("b", live=False, left=True)])[0].level is Level.OK, "it ended in order"
    assert workers([worker(), worker("b", ejected=True)])[0].level is Level.WARNING
    assert workers([worker(live=False)])[0].level is Level.FAULT
    assert workers([])[0].level is Level.FAULT
    assert workers([worker(live=None)])[0].level is Level.UNKNOWN


def test_nodes_of_another_contract_are_told_by_version() -> None:
    assert workers([worker()])[1].says == "every node speaks contract version 1"
    older = workers([worker(), worker("b", contract=0)])[1]
    assert (older.level, older.says) == (
        Level.WARNING,
        "nodes of two releases run (version 0: 1 node; version 1: 1 node)",
    )
    newer = workers([worker(), worker("b", contract=9)])[1]
    assert newer.level is Level.FAULT
    assert newer.says.startswith("b speak a contract version that this release does not understand")
    assert next(iter(contract(replace(REDIS, contract="2")))).level is Level.WARNING
    assert list(contract(REDIS)) == []


def test_a_queue_says_who_takes_from_it_and_what_waits() -> None:
    late, early = replace(WELL, oldest_seconds={"email": 9.0}), replace(WELL, oldest_seconds={"email": 1.0})
    assert queue(EMAIL, WELL, [worker()]).says == "2 processes take from it; nothing waits"
    assert queue(EMAIL, early, [worker()]).level is Level.OK
    assert queue(EMAIL, late, [worker()]).level is Level.WARNING
    assert queue(EMAIL, WELL, [worker(live=False)]).level is Level.WARNING
    assert queue(EMAIL, early, [worker(live=False)]).level is Level.FAULT
    assert queue(EMAIL, early, [worker(live=None)]).level is Level.UNKNOWN
    assert queue(EMAIL, WELL, [worker(ejected=True)]).level is Level.WARNING


def test_a_queue_whose_only_worker_is_ejected_says_to_admit_it_and_not_to_start_one() -> None:
    early = replace(WELL, oldest_seconds={"email": 1.0})
    line = queue(EMAIL, early, [worker(ejected=True)])
    assert line.level is Level.FAULT
    assert line.says == "Every live worker of email is kept off it: email@a; the oldest task has waited for 1 s"
    assert 'POST /v1/workers/email@a/admit {"reason": ' in line.what_to_do
    assert "Start a worker" in queue(EMAIL, early, [worker(live=False, ejected=True)]).what_to_do


def test_a_queue_that_is_paused_says_by_whom_and_why() -> None:
    pause = QueuePause("email", paused=True, revision=1, reason="provider moves", actor="ops", changed_at=NOW)
    line = queue(EMAIL, replace(WELL, pauses={"email": pause}), Unknown("no worker was asked"))
    assert line.level is Level.WARNING
    assert line.says == (
        "The queue email was paused by ops at 2026-11-28 12:00 UTC: provider moves. Nothing of it starts until it is"
        " resumed; nothing waits"
    )


def test_submissions_are_refused_until_a_worker_has_published() -> None:
    assert task_types(replace(WELL, task_types=[])).level is Level.FAULT


def test_time_limits_are_held_against_the_visibility_timeout_and_the_grace() -> None:
    def found(*seconds: float, grace: float = 10.0, visibility: int | None = 3600) -> list[Level]:
        specs = [TaskTypeSpec(name=f"t{n}", time_limit_seconds=n) for n in seconds]
        redis = replace(REDIS, visibility_timeout_seconds=visibility)
        given = Settings(cancel_grace_seconds=grace)
        return [one.level for one in time_limits(replace(WELL, task_types=specs), redis, given)]

    assert found(300) == found() == found(5) == found(4000, visibility=None) == [Level.OK]
    assert found(300, 4000) == [Level.WARNING]
    assert found(30_000) == [Level.WARNING, Level.WARNING]
    assert found(30, grace=60.0) == [Level.WARNING]


def channel(**changes: Any) -> EmailChannel:
    return EmailChannel(kind="email", name="ops", host="mail", sender="a@example.org", to=("b@example.org",), **changes)


def tried(status: str, error: str | None = None) -> ServiceFacts:
    row = DeliveryRow(UUID(int=0), None, "opened", "ops", {}, status, 2, NOW, None, error, NOW, None, 0.0)
    return replace(WELL, last_tried={"ops": row})


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (WELL, Level.WARNING),
        (tried("sent"), Level.OK),
        (tried("pending", "421 not now"), Level.FAULT),
        (tried("gave_up", "421 not now"), Level.FAULT),
        (Unknown("PostgreSQL is away"), Level.UNKNOWN),
    ],
)
def test_a_channel_is_as_its_newest_message_fared(facts: ServiceFacts | Unknown, level: Level) -> None:
    (line,) = channels(Settings(alert_channels=(channel(),), alert_base_url="https://p.example.org"), facts)
    assert (line.check, line.level) == ("channels.ops", level)


def test_alerts_that_reach_nobody_are_a_warning() -> None:
    assert [one.level for one in channels(Settings(), WELL)] == [Level.WARNING]
    pages = channels(
        Settings(alert_channels=(channel(severities=("ticket",)),), alert_base_url="https://p.example.org"),
        tried("sent"),
    )
    assert next(pages).says == "no channel takes alerts of severity page"
    (paths, _) = channels(Settings(alert_channels=(channel(),)), tried("sent"))
    assert paths.what_to_do == "Set alert_base_url."


def test_the_address_of_a_webhook_is_in_no_line() -> None:
    secret = "https://hooks.example.org/T0P/S3CRET"
    hook = WebhookChannel(kind="webhook", name="ops", url=SecretStr(secret), body="slack")
    lines = list(channels(Settings(alert_channels=(hook,)), tried("gave_up", "HTTP 500")))
    assert "S3CRET" not in str(lines)


def test_what_postgres_would_say_is_not_known_without_it() -> None:
    away = Unknown("PostgreSQL does not answer")
    found = [
        *leaders(away), recorder(away, None, None, Settings()), epoch(away, REDIS, Settings()), *workers(away),
        task_types(away), *queues([EMAIL], away, away), *time_limits(away, REDIS, Settings()),
    ]  # fmt: skip
    assert {one.level for one in found} == {Level.UNKNOWN}
    assert exit_status(found) == 0


def test_what_opened_long_ago_is_said_in_hours() -> None:
    opened = replace(WELL, epoch=Epoch(3, "abc", NOW - timedelta(hours=5), 18_000.0))
    assert epoch(opened, REDIS, Settings()).says == "epoch 3 is open, declared 5.0 h ago"

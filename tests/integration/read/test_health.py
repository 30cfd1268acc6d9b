import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.app import Process, Role
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.observe.roles import LEADS, RECONCILER, LedRole
from tests.integration.spine import Spine
from tests.stand.waiting import until

Fresh = Callable[[], httpx.AsyncClient]


@pytest.fixture
async def ready_spine(spine: Spine, add_worker: Any, publish_types: Any) -> Spine:
    """Everything a task needs."""
    await publish_types(TaskTypeSpec(name="noop", time_limit_seconds=9))
    await add_worker("critical@h", ["critical"])
    for leader in LEADS.values():
        await spine.run("INSERT INTO leader VALUES (:name, 'me', 1, now() + interval '1 hour')", name=leader)
    await spine.run("INSERT INTO broker_epoch (epoch, run_id, opened_at) VALUES (1, 'x', now())")
    await spine.run("INSERT INTO recorder_position (stream, last_id) VALUES (:stream, '0-0')", stream=keys.events(1))
    return spine


async def verbose(fresh_api: Fresh) -> tuple[int, dict[str, Any]]:
    async with fresh_api() as api:
        answer = await api.get("/readyz?verbose")
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
async def test_living_process_says_so(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_ready_when_a_task_would_be_accepted_and_run(fresh_api: Fresh, ready_spine: Spine) -> None:
    status, body = await verbose(fresh_api)

    assert (status, body["status"]) == (200, "ready"), body
    parts = body["parts"]
    assert {name for name, part in parts.items() if not part["ok"]} == {"queues"}
    assert parts["queues"]["without_consumer"] == ["high_priority", "email", "reports", "external_api", "maintenance"]
    assert parts["workers"]["live"] == 1
    assert parts["recorder_lag"]["seconds"] == 0
    assert parts["broker"]["memory_percent"] == 0
    assert parts["epoch"]["detail"] == "epoch 1 is open"


async def test_plain_answer_has_no_parts(fresh_api: Fresh, ready_spine: Spine) -> None:
    async with fresh_api() as api:
        assert (await api.get("/readyz")).json() == {"status": "ready", "detail": "the broker answers"}
        assert (await api.get("/readyz?quiet")).status_code == 422


async def test_fresh_data_without_task_types_is_not_ready(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("DELETE FROM task_type")

    status, body = await verbose(fresh_api)

    assert (status, body["detail"]) == (503, "no worker has published task types yet")


async def test_not_ready_without_a_live_worker(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("UPDATE worker SET last_seen_at = now() - interval '1 minute'")

    status, body = await verbose(fresh_api)

    assert (status, body["detail"]) == (503, "no worker lives")


@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("dispatcher", "tasks that wait in PostgreSQL are not sent"),
        ("recorder", "shown as they were"),
        ("reconciler", "tasks that are due later or failed once do not start"),
    ],
)
async def test_a_role_that_nobody_has_is_named_and_it_stays_ready(
    fresh_api: Fresh, ready_spine: Spine, role: str, says: str
) -> None:
    name = LEADS[LedRole(role)]
    await ready_spine.run("UPDATE leader SET expires_at = now() - interval '7 seconds' WHERE name = :name", name=name)

    status, body = await verbose(fresh_api)

    assert (status, body["status"], body["parts"][role]["ok"]) == (200, "ready", False)
    assert re.match(f"no {role} leads for 1[2-9] s: ", body["detail"]), body["detail"]
    assert says in body["detail"]


async def test_a_role_that_changes_hands_is_no_fault(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("UPDATE leader SET expires_at = now(), holder = '' WHERE name = 'recorder'")

    status, body = await verbose(fresh_api)

    assert (status, body["detail"]) == (200, "the recorder changes hands")


async def test_only_worker_that_is_replaced_leaves_it_ready(
    fresh_api: Fresh, ready_spine: Spine, add_worker: Any
) -> None:
    await ready_spine.run("UPDATE worker SET last_seen_at = now() - interval '20 seconds'")

    status, body = await verbose(fresh_api)

    assert (status, body["detail"]) == (200, "no worker lives")


async def test_workers_that_nobody_watches_are_not_called_dead(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("UPDATE worker SET last_seen_at = now() - interval '1 minute'")
    await ready_spine.run("UPDATE leader SET expires_at = now() - interval '1 minute' WHERE name = 'epoch'")

    status, body = await verbose(fresh_api)
    async with fresh_api() as api:
        (worker,) = (await api.get("/v1/workers")).json()["items"]
        queues = {queue["name"]: queue for queue in (await api.get("/v1/queues")).json()["items"]}
        exposed = (await api.get("/metrics")).text

    assert status == 200
    assert "not known" in body["parts"]["workers"]["detail"]
    assert "not known" in body["parts"]["queues"]["detail"]
    assert worker["live"] is None
    assert (queues["critical"]["consumers"], queues["email"]["consumers"]) == (None, 0)
    assert "pointsman_workers_up" not in exposed


async def test_reconciler_has_the_lead_that_readiness_looks_at(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("DELETE FROM leader WHERE name = :name", name=RECONCILER)

    async def leads() -> bool:
        return bool((await verbose(fresh_api))[1]["parts"]["reconciler"]["ok"])

    async with Process(ready_spine.settings, {Role.RECONCILER}).running():
        await until(leads, "the reconciler to lead")


async def test_ready_at_a_revision_it_does_not_know_whose_schema_has_everything(
    fresh_api: Fresh, ready_spine: Spine
) -> None:
    await ready_spine.run("UPDATE alembic_version SET version_num = 'newer'")

    status, body = await verbose(fresh_api)

    assert status == 200
    assert body["parts"]["migrations"]["detail"].startswith("the schema is at newer and has what ")


async def test_not_ready_on_a_schema_that_lacks_something_whatever_its_revision_is_called(
    fresh_api: Fresh, ready_spine: Spine
) -> None:
    await ready_spine.run("ALTER TABLE task_live DROP COLUMN dependencies")
    await ready_spine.run("ALTER TABLE task ALTER COLUMN held_seconds TYPE real")
    await ready_spine.run("DROP INDEX ix_breaker_not_closed")

    status, body = await verbose(fresh_api)

    assert status == 503
    for missing in ("task_live.dependencies", "task.held_seconds as double precision (real)", "ix_breaker_not_closed"):
        assert missing in body["detail"]
    await ready_spine.run("ALTER TABLE task_live ADD COLUMN dependencies text[]")
    await ready_spine.run("UPDATE alembic_version SET version_num = 'older'")
    assert (await verbose(fresh_api))[1]["detail"].startswith("the schema is at older, not at ")


async def test_a_fault_of_the_schema_is_nobody_elses(fresh_api: Fresh, ready_spine: Spine) -> None:
    async with fresh_api() as api:
        assert (await api.get("/readyz")).status_code == 200
        task = {"task_type": "noop"}
        assert (await api.post("/v1/tasks", json=task)).status_code == 202
        await ready_spine.run("ALTER TABLE task_live DROP COLUMN dependencies")
        answers = [
            await api.post("/v1/tasks", json=task),
            await api.post("/v1/tasks", json=task, headers={"Idempotency-Key": "k"}),
            await api.post("/v1/tasks/batch", json={"tasks": [task, task]}),
            await api.post("/v1/tasks/batch", json={"tasks": [task, task], "atomic": True}),
            await api.get("/v1/tasks"),
            await api.get("/v1/tasks/01a20271-c811-71a5-99c0-510fde22a57d"),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:pointsman:problem:database-differs")
            assert "retry-after" in answer.headers
        assert (await api.get("/metrics")).status_code == 200


async def test_census_is_told_and_stays_ready(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.run("UPDATE broker_epoch SET opened_at = NULL")

    status, body = await verbose(fresh_api)

    assert status == 200
    assert "census" in body["parts"]["epoch"]["detail"]


async def test_recorder_that_writes_nothing_down_is_named_and_one_that_is_behind_is_not(
    fresh_api: Fresh, ready_spine: Spine
) -> None:
    await ready_spine.server.command("XADD", keys.events(1), "1000-0", "kind", "x")
    assert (await verbose(fresh_api))[0] == 200

    assert (await verbose(fresh_api))[1]["parts"]["recorder_lag"]["ok"]
    await ready_spine.run("UPDATE recorder_position SET moved_at = now() - interval '40 seconds'")
    status, body = await verbose(fresh_api)

    assert (status, body["parts"]["recorder_lag"]["ok"]) == (200, False)
    assert re.fullmatch(r"the recorder has written nothing down for 4\d s though workers report", body["detail"])


async def test_recorder_lag_is_the_age_of_the_oldest_unread_event(fresh_api: Fresh, ready_spine: Spine) -> None:
    await ready_spine.server.command("XADD", keys.events(1), "1000-0", "kind", "x")

    _, body = await verbose(fresh_api)

    assert body["parts"]["recorder_lag"]["seconds"] > 1e9


async def test_broker_away_is_told_and_stays_ready(fresh_api: Fresh, ready_spine: Spine, valkey: ValkeyServer) -> None:
    valkey.kill()
    await ready_spine.run("UPDATE leader SET expires_at = now()")

    status, body = await verbose(fresh_api)

    assert (status, body["status"]) == (200, "ready")
    assert "the broker is away" in body["detail"]
    assert body["parts"]["broker"]["ok"] is False
    assert str(valkey.port) not in str(body)


async def test_database_away_is_not_ready_and_reads_are_503(
    fresh_api: Fresh, ready_spine: Spine, postgres: PostgresServer
) -> None:
    postgres.kill()
    async with fresh_api() as api:
        readiness = await api.get("/readyz?verbose")
        reads = [await api.get(path) for path in ("/v1/tasks", "/v1/queues", "/v1/workers", "/v1/metrics/tasks")]
        one = await api.get("/v1/tasks/01a20271-c811-71a5-99c0-510fde22a57d")
        metrics = await api.get("/metrics")
        alive = await api.get("/livez")

    assert (readiness.status_code, readiness.json()["parts"]["database"]["ok"]) == (503, False)
    assert readiness.json()["detail"].startswith("the database is away")
    for answer in [*reads, one]:
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "urn:pointsman:problem:database-away"
    assert metrics.status_code == 200
    assert "pointsman_database_up 0.0" in metrics.text
    assert alive.status_code == 200

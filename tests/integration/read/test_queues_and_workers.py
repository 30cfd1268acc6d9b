from collections.abc import Callable
from typing import Any

import httpx
from pydantic import SecretStr

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.api.queues.routes import QueueView
from pointsman_service.api.workers.routes import WorkerList
from pointsman_service.database import create_engine
from pointsman_service.embedded.ports import free_port
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.observe.views import Views, first_look
from pointsman_service.store.store import Store
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine, new_task

Fresh = Callable[[], httpx.AsyncClient]


async def test_queue_shows_backlog_rates_and_consumers(api: httpx.AsyncClient, spine: Spine, add_worker: Any) -> None:
    await add_worker("critical@h", ["critical"], processes=2)
    await add_worker("wide@h", ["critical", "email"], processes=3)
    await add_worker("gone@h", ["critical"], processes=8, age=60)
    await spine.commits.write_batch([new_task(queue="critical") for _ in range(3)])
    await spine.commits.write_batch([new_task(queue="critical", delay_seconds=60.0)])
    await spine.run(
        "UPDATE task_live SET due_at = now() - interval '30 seconds', place = 'sent'"
        " WHERE id = (SELECT id FROM task_live WHERE state = 'queued' ORDER BY id LIMIT 1)"
    )

    queues = {queue["name"]: queue for queue in (await api.get("/v1/queues")).json()["items"]}

    assert list(queues) == ["critical", "high_priority", "email", "reports", "external_api", "maintenance"]
    critical = queues["critical"]
    assert (critical["priority"], critical["sla_seconds"]) == (10, 2.0)
    assert critical["depth"] == 3
    assert 30 <= critical["oldest_wait_seconds"] < 60
    assert critical["consumers"] == 5
    assert 0 < critical["arrival_rate"] <= 4 / 299
    assert critical["service_rate"] == 0
    assert critical["sla_attainment"] is None
    assert queues["email"] | {"consumers": 0} == (await api.get("/v1/queues/email")).json() | {"consumers": 0}
    assert (queues["email"]["depth"], queues["email"]["oldest_wait_seconds"]) == (0, None)


async def test_queue_shows_its_tasks_by_state_and_what_holds_them(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.commits.write_batch([new_task(queue="email", task_type=name) for name in ("a", "b", "c", "d")])
    for task_type, reason in (("a", "unknown_task_type"), ("b", "unknown_task_type"), ("c", "quarantine")):
        await spine.run(
            "UPDATE task_live SET state = 'held', place = 'held', held_reason = :reason WHERE task_type = :task_type",
            reason=reason,
            task_type=task_type,
        )

    answer = await api.get("/v1/queues/email")

    QueueView.model_validate_json(answer.content, strict=True)
    email = answer.json()
    assert (email["depth"], email["states"]["queued"], email["states"]["held"]) == (1, 1, 3)
    assert email["held_by"] == [{"reason": "unknown_task_type", "tasks": 2}, {"reason": "quarantine", "tasks": 1}]


async def test_unknown_queue_is_404(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/queues/nope")

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:pointsman:problem:no-such-queue")


async def test_worker_shows_how_busy_it_is(api: httpx.AsyncClient, spine: Spine, add_worker: Any) -> None:
    await add_worker("critical@h", ["critical"], processes=4, owner="busy")
    await add_worker("email@h", ["email"], owner="unreadable")
    await add_worker("reports@h", ["reports"], owner="dead", age=60)
    await beat(spine, "busy", 1, 1, ("t", 1, "secret"))
    await spine.server.command("HSET", keys.BEATS, "unreadable", "{")
    await beat(spine, "dead", 1, 1, ("t", 1, "secret"))

    answer = await api.get("/v1/workers")

    workers = {worker["name"]: worker for worker in answer.json()["items"]}
    assert "secret" not in answer.text
    assert (workers["critical@h"]["busy"], workers["critical@h"]["utilization"]) == (1, 0.25)
    assert workers["critical@h"]["live"] is True
    assert workers["critical@h"]["started_at"] == "2026-01-01T00:00:00Z"
    assert (workers["email@h"]["busy"], workers["email@h"]["utilization"]) == (None, None)
    assert workers["reports@h"]["live"] is False
    assert workers["reports@h"]["busy"] is None
    assert workers["reports@h"]["heartbeat_age_seconds"] >= 60


async def test_node_that_ended_in_order_is_gone_everywhere_at_once(
    fresh_api: Fresh, spine: Spine, add_worker: Any
) -> None:
    await spine.open_epoch()
    await add_worker("email@h", ["email"], owner="w")
    await beat(spine, "w", 1, 1)

    async def seen() -> tuple[bool, bool, bool | None, int]:
        async with fresh_api() as api:
            answer = await api.get("/v1/workers")
            WorkerList.model_validate_json(answer.content)
            (worker,) = answer.json()["items"]
            queue = (await api.get("/v1/queues/email")).json()
        return worker["live"], worker["left"], worker["fetching"], queue["consumers"]

    assert await seen() == (True, False, True, 2)
    await beat(spine, "w", 2, 2, stopping=True)
    assert await seen() == (True, True, False, 0)
    await spine.server.command("HDEL", keys.BEATS, "w")
    assert await seen() == (False, True, None, 0)


async def test_predecessor_of_a_live_worker_is_not_shown(api: httpx.AsyncClient, add_worker: Any) -> None:
    await add_worker("critical@h", ["critical"], owner="old", age=60)
    await add_worker("critical@h", ["critical"], owner="new")

    (worker,) = (await api.get("/v1/workers")).json()["items"]

    assert worker["live"] is True


async def test_broker_away_fails_no_view(fresh_api: Fresh, valkey: ValkeyServer, spine: Spine, add_worker: Any) -> None:
    await add_worker("critical@h", ["critical"])
    valkey.kill()
    async with fresh_api() as api:
        (worker,) = (await api.get("/v1/workers")).json()["items"]
        queues = (await api.get("/v1/queues")).json()["items"]
        metrics = await api.get("/metrics")

    assert (worker["live"], worker["busy"]) == (True, None)
    assert queues[0]["consumers"] == 2
    assert "pointsman_broker_up 0.0" in metrics.text


async def test_task_types_are_shown_as_published_and_routed(api: httpx.AsyncClient, publish_types: Any) -> None:
    schema = {"type": "object", "properties": {"seconds": {"type": "number"}}}
    await publish_types(
        TaskTypeSpec(name="sleep", time_limit_seconds=9, positional=("seconds",), arguments_schema=schema),
        TaskTypeSpec(name="mail", time_limit_seconds=9, queue="email"),
        TaskTypeSpec(name="urgent", time_limit_seconds=9, priority=9),
    )

    listed = (await api.get("/v1/task-types")).json()["items"]
    sleep = (await api.get("/v1/task-types/sleep")).json()

    assert [(found["name"], found["queue"], found["priority"]) for found in listed] == [
        ("mail", "email", 7),
        ("sleep", "maintenance", 3),
        ("urgent", "high_priority", 9),
    ]
    assert sleep == listed[1]
    assert (sleep["arguments_schema"], sleep["positional"]) == (schema, ["seconds"])
    assert (await api.get("/v1/task-types/nope")).status_code == 404


async def test_many_task_types_are_read_page_by_page_and_the_long_ones_whole_by_name(
    api: httpx.AsyncClient, publish_types: Any
) -> None:
    schema = {"type": "object", "properties": {f"field_{number}": {"type": "string"} for number in range(1000)}}
    long = {"description": "é" * 3000, "arguments_schema": schema}
    await publish_types(
        *(TaskTypeSpec(name=f"billing/{number:03}", time_limit_seconds=9, **long) for number in range(230))
    )

    first = await api.get("/v1/task-types")
    second = (await api.get("/v1/task-types", params={"cursor": first.json()["next_cursor"]})).json()
    whole = (await api.get("/v1/task-types/billing/007")).json()

    names = [found["name"] for found in first.json()["items"] + second["items"]]
    assert names == [f"billing/{number:03}" for number in range(230)]
    assert (len(first.json()["items"]), second["next_cursor"]) == (200, None)
    assert len(first.content) < 2_000_000
    assert first.json()["items"][7]["cut"] == ["arguments_schema", "description"]
    assert (whole["arguments_schema"], whole["description"], whole["cut"]) == (schema, "é" * 3000, [])
    assert (await api.get("/v1/task-types", params={"cursor": "a\0"})).status_code == 422


async def test_the_first_look_of_a_process_sums_up_thirty_days_before_anybody_asks(spine: Spine) -> None:
    views = Views.over(spine.settings, spine.store, spine.broker, spine.server)
    await first_look(views)
    await spine.run("ALTER TABLE task_metrics_day RENAME TO gone")
    assert {one.queue for one in await views.sla.read()} == {one.name for one in spine.settings.topology.queues}


async def test_a_first_look_at_a_database_that_is_away_ends_quietly(spine: Spine) -> None:
    url = SecretStr(f"postgresql+asyncpg://app@127.0.0.1:{free_port()}/none")
    store = Store(create_engine(spine.settings.model_copy(update={"database_url": url}), "test"))
    await first_look(Views.over(spine.settings, store, spine.broker, spine.server))
    await store.close()

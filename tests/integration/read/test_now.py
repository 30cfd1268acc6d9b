import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import event

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.api.now import NowView
from pointsman_service.observe import memory
from pointsman_service.store.alerts import alerts
from pointsman_service.store.alerts.alerts import NewAlert
from pointsman_service.store.workers import catalogue
from tests.integration.read.conftest import application
from tests.integration.spine import Spine, new_task
from tests.integration.tripped import Holding


@contextmanager
def counted_statements(spine: Spine) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    found: list[str] = []
    engine = spine.store._engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _said(words: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in words)


async def _now(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/v1/now")
    assert answer.status_code == 200, answer.text
    NowView.model_validate_json(answer.content, strict=True)
    found: dict[str, Any] = answer.json()
    return found


async def test_all_is_well_is_said_with_the_figures_of_the_hour(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.commits.write_batch([new_task(queue="email") for _ in range(3)])

    now = await _now(api)

    assert (now["verdict"], now["causes"], now["unknown"]) == ("healthy", [], [])
    assert now["sentence"] == "All is well. 3 tasks in the last hour, none started, 0 failed for good."
    assert now["last_hour"] == {"tasks": 3, "started_within_target": None, "failed": 0}
    assert {queue["name"]: queue["waiting"] for queue in now["queues"]}["email"] == 3


async def test_open_alert_is_a_cause_with_what_to_do(api: httpx.AsyncClient, spine: Spine) -> None:
    new = NewAlert(
        "no_worker:email", "no_worker", "email", "page", "Nobody.", 0, 1, "processes", "/v1/queues/email", 1.8e9
    )
    async with spine.store.transaction() as connection:
        (opened,) = await alerts.open_new(connection, [new])

    now = await _now(api)

    assert now["verdict"] == "degraded"
    (cause,) = now["causes"]
    assert (cause["severity"], cause["kind"], cause["subject"]) == ("page", "no_worker", "email")
    assert cause["alert_ids"] == [str(opened.id)]
    assert {"kind": "queue", "name": "email", "filter": {}} in [part["link"] for part in cause["parts"]]
    assert cause["remedies"]


async def test_breaker_that_is_open_is_named_with_what_it_holds(api: httpx.AsyncClient, spine: Spine) -> None:
    holding = Holding(spine)
    await holding.open("dependency", "crm")
    tasks = [new_task(queue="email", task_type=name, dependencies="crm") for name in ("a", "a", "b")]
    await spine.commits.write_batch(tasks)
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_reason = 'breaker:dependency:crm',"
        " held_at = now() - interval '30 seconds'"
    )

    now = await _now(api)

    (cause,) = now["causes"]
    assert (cause["kind"], cause["subject"], cause["alert_ids"]) == ("breaker_open", "dependency:crm", [])
    assert _said(cause["consequences"][0]).startswith("3 tasks are held (2 a, 1 b), the first for 30 s")
    assert _said(cause["being_done"]).startswith("It is tried again in ")
    (breaker,) = now["breakers"]
    assert (breaker["name"], breaker["state"], breaker["held"]) == ("crm", "open", 3)
    assert breaker["next_probe_at"] is not None
    assert now["breakers_in_all"] == 1
    assert {queue["name"]: queue["state"] for queue in now["queues"]}["email"] == "held"


async def test_what_somebody_did_is_told_with_who_and_why(api: httpx.AsyncClient, spine: Spine) -> None:
    await api.post("/v1/queues/email/pause", json={"reason": "provider moves"})
    await api.post("/v1/breakers/dependency/crm/force-open", json={"reason": "they migrate", "new": True})
    async with spine.store.transaction() as connection:
        await catalogue.publish(
            connection, "a", [TaskTypeSpec(name="shop.charge", queue="email", time_limit_seconds=30)]
        )

    now = await _now(api)

    told = [(_said(change["what"]), change["actor"], change["reason"]) for change in now["changes"]]
    assert sorted(told) == [
        ("New: 1 task type (shop.charge)", "workers", None),
        ("crm was forced open", "local", "they migrate"),
        ("email was paused", "local", "provider moves"),
    ]
    kinds = {cause["kind"]: (cause["severity"], cause["sentence"]) for cause in now["causes"]}
    assert kinds["queue_paused"][0] == "notice"
    assert kinds["queue_paused"][1].endswith(' by local: "provider moves".')
    assert kinds["breaker_open"][1].endswith(' by local: "they migrate".')


async def test_act_that_changed_nothing_is_no_change(api: httpx.AsyncClient) -> None:
    await api.post("/v1/breakers/dependency/crm/outcomes", json={"outcomes": [{"outcome": "success"}]})
    answer = await api.post("/v1/breakers/dependency/crm/reset", json={"reason": "to be sure"})

    assert answer.status_code == 200
    assert (await _now(api))["changes"] == []


async def test_what_floods_a_queue_is_named(api: httpx.AsyncClient, spine: Spine) -> None:
    tasks = [new_task(queue="email", task_type="send_mail", tags='{"campaign":"spring"}') for _ in range(9)]
    await spine.commits.write_batch([*tasks, new_task(queue="email", task_type="other")])
    await spine.run("UPDATE task_live SET due_at = now() - interval '10 minutes'")
    new = NewAlert(
        "backlog_old:email", "backlog_old", "email", "ticket", "Late.", 600, 60, "s", "/v1/queues/email", 1.8e9
    )
    async with spine.store.transaction() as connection:
        await alerts.open_new(connection, [new])

    (cause,) = (await _now(api))["causes"]

    assert cause["sentence"].startswith("email: 10 tasks wait")
    told = "\n".join(map(_said, cause["consequences"]))
    assert "over its target" in told
    assert "90 % of what waits are send_mail, 90 % have the tag campaign:spring, submitted within" in told
    assert [remedy["act"] for remedy in cause["remedies"]] == ["cancel_tasks", None, "pause_queue"]


async def test_a_task_type_that_does_otherwise_than_before_is_told(api: httpx.AsyncClient, spine: Spine) -> None:
    for name, minutes, succeeded, failed in (
        ("charge", 120, 1000, 2), ("charge", 5, 10, 30), ("steady", 120, 100, 0), ("steady", 5, 50, 0),
    ):  # fmt: skip
        await spine.run(
            "INSERT INTO task_metrics (minute, task_type, queue, executions, succeeded, failed) VALUES"
            " (date_trunc('minute', now() - CAST(:minutes AS float8) * interval '1 minute'), :name, 'email', :runs,"
            " :succeeded, :failed)",
            name=name, minutes=minutes, runs=succeeded + failed, succeeded=succeeded, failed=failed,
        )  # fmt: skip

    assert (await _now(api))["lately"] == [
        {"task_type": "charge", "figure": "failure_rate", "before": 0.002, "now": 0.75, "runs": 40}
    ]


async def test_fifty_viewers_cost_what_one_does(spine: Spine) -> None:
    """Two statements however many ask at once, and none within the second after."""
    app = application(spine)
    with counted_statements(spine) as statements:
        await asyncio.gather(*(app.state.parts.now.read() for _ in range(50)))
        first = len(statements)
        await asyncio.gather(*(app.state.parts.now.read() for _ in range(50)))
    assert len(statements) == first
    pages = [statement for statement in statements if "json_agg" in statement]
    assert len(pages) == 2


async def test_what_one_task_is_asked_for_is_no_change_of_the_installation(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    task = new_task(queue="email", delay_seconds=60.0)
    await spine.commits.write_batch([task])
    assert (await api.post(f"/v1/tasks/{task.id}/cancel")).status_code in (200, 202)

    assert await spine.rows("SELECT act FROM audit") == [{"act": "cancel_task"}]
    assert (await _now(api))["changes"] == []


async def test_what_fills_redis_is_told_by_size(spine: Spine) -> None:
    await spine.server.command("SET", "cache:page", "x" * 3_000_000)
    await spine.server.command("RPUSH", "email", "y" * 200_000)

    first, second = await memory.largest(spine.server, ["email"], 2)

    assert (first.what, second.what) == ("keys of others (cache)", "messages of email")
    assert first.size > 3_000_000 > second.size > 200_000

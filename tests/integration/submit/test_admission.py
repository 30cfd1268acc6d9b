"""A queue with a limit, and callers who would rather be refused than be late, over the whole API."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.observe.prediction.flow import NOTHING, PRIORITIES, Line, Work
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast
from pointsman_service.observe.prediction.prediction import Reason
from pointsman_service.settings import Settings
from pointsman_service.store.workers import catalogue
from tests.integration.read.conftest import application, fronted
from tests.integration.spine import Spine, new_task

LIMIT = 5
REJECT = {"task_type": "noop", "queue": "reports", "on_sla_risk": "reject"}
EMAIL = {"task_type": "noop", "queue": "email"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """email takes so many."""
    queues = tuple(
        queue.model_copy(update={"backlog_limit": LIMIT} if queue.name == "email" else {})
        for queue in DEFAULT_TOPOLOGY.queues
    )
    return settings.model_copy(update={"topology": DEFAULT_TOPOLOGY.model_copy(update={"queues": queues})})


@pytest.fixture
async def api(closed_spine: Spine) -> AsyncIterator[httpx.AsyncClient]:
    async with closed_spine.store.transaction() as connection:
        await catalogue.publish(connection, "w@h#1", [TaskTypeSpec(name="noop", time_limit_seconds=9)])
    app = application(closed_spine)
    transport = httpx.ASGITransport(fronted(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://pointsman") as client:
        client.parts = app.state.parts  # type: ignore[attr-defined]
        yield client


async def submit(api: httpx.AsyncClient, body: Any, path: str = "", key: str | None = None) -> httpx.Response:
    return await api.post(f"/v1/tasks{path}", json=body, headers={} if key is None else {"Idempotency-Key": key})


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


async def test_queue_takes_up_to_its_limit_alone_and_in_batches_and_repeats_are_answered(
    api: httpx.AsyncClient, closed_spine: Spine
) -> None:
    await closed_spine.commits.write_batch([new_task(queue="email") for _ in range(LIMIT - 2)])
    assert (await submit(api, EMAIL, "/validate")).status_code == 200
    first = await submit(api, EMAIL, key="order-17")
    assert first.status_code == 202

    atomic = await submit(api, {"tasks": [EMAIL, EMAIL], "atomic": True}, "/batch")
    assert (atomic.status_code, atomic.json()["results"][0]) == (422, None)
    assert atomic.json()["results"][1]["problem"]["type"].endswith("backlog-full")

    batch = await submit(api, {"tasks": [EMAIL, EMAIL, {"task_type": "noop"}]}, "/batch")
    assert [result["status"] for result in batch.json()["results"]] == [202, 503, 202]

    full = await submit(api, EMAIL, key="order-18")
    assert (full.status_code, kind(full)) == (503, "backlog-full")
    assert full.headers["retry-after"] == "10"
    assert full.json()["prediction"]["reason"] == "not_known"
    assert kind(await submit(api, EMAIL, "/validate")) == "backlog-full"
    again = await submit(api, EMAIL, key="order-17")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (await submit(api, EMAIL | {"delay_seconds": 60})).status_code == 202

    (row,) = await closed_spine.rows(
        "SELECT count(*) AS tasks FROM task_live WHERE queue = 'email' AND due_at <= now()"
    )
    assert row["tasks"] == LIMIT
    # There is room again with the next reading.
    await closed_spine.run("UPDATE task_live SET queue = 'reports' WHERE queue = 'email'")
    await api.parts.admission.single_pass()  # type: ignore[attr-defined]
    assert (await submit(api, EMAIL, key="order-18")).status_code == 202


async def test_caller_who_asks_for_it_is_refused_where_nothing_starts(
    api: httpx.AsyncClient, closed_spine: Spine
) -> None:
    view = api.parts.views.predictions  # type: ignore[attr-defined]
    assert (await submit(api, REJECT)).status_code == 202, "nothing is known"
    await closed_spine.server.command(
        "SET", keys.FORECAST, Forecast({"reports": QueueForecast(Reason.NO_WORKER)}).as_json()
    )
    await view.single_pass()
    refused = await submit(api, REJECT)
    assert (refused.status_code, kind(refused)) == (503, "sla-at-risk")
    assert refused.json()["prediction"] == {
        "p50_seconds": None, "p95_seconds": None, "basis": None, "confidence": None, "reason": "no_worker",
    }  # fmt: skip
    assert kind(await submit(api, REJECT, "/validate")) == "sla-at-risk"
    batch = await submit(api, {"tasks": [REJECT, REJECT | {"on_sla_risk": "accept"}]}, "/batch")
    assert [result["status"] for result in batch.json()["results"]] == [503, 202]
    assert (await submit(api, REJECT | {"on_sla_risk": "maybe"})).status_code == 422


async def test_a_share_that_has_little_is_not_refused_for_what_another_has(
    api: httpx.AsyncClient, closed_spine: Spine
) -> None:
    view = api.parts.views.predictions  # type: ignore[attr-defined]
    work = (Work(3000, 3000.0, 6000.0),) * PRIORITIES
    line = Line(1, 0.0, 1.0, work, (NOTHING,) * PRIORITIES, 1.0, 0.5)
    forecast = Forecast({"reports": QueueForecast(None, line)}).as_json()
    await closed_spine.server.command("SET", keys.FORECAST, forecast)
    await view.single_pass()
    closed_spine.window.shut()
    many = [new_task(queue="reports", priority=5, caller="local", fairness_key="many") for _ in range(2_100)]
    await closed_spine.commits.write_batch(many)
    asks = REJECT | {"priority": 5}
    said = {key: (await submit(api, asks | {"fairness_key": key})).status_code for key in ("many", "few")}
    assert said == {"many": 503, "few": 202}
    refused = await submit(api, asks | {"fairness_key": "many"})
    assert kind(refused) == "sla-at-risk"
    assert refused.json()["prediction"]["p50_seconds"] > 2_000

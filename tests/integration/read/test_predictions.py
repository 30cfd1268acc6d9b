"""Predicted waits, wherever they are shown."""

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.observe.prediction.forecast import Forecast, QueueForecast
from pointsman_service.observe.tasks import waiting
from pointsman_service.store.metrics import predictions
from pointsman_service.store.metrics.predictions import Tally
from pointsman_service.store.workers import catalogue
from tests.integration.spine import Spine, new_task
from tests.unit.observe.prediction.lines import line, tasks

NOTHING = {"p50_seconds": None, "p95_seconds": None, "basis": None, "confidence": None}


@pytest.fixture
def forecast(app: FastAPI) -> None:
    """A hundred tasks of a second wait in ``maintenance``, before two busy processes; of the rest nothing is known."""
    queue = QueueForecast(None, line({3: tasks(100, 1.0)}, processes=2, busy=2))
    app.state.parts.views.predictions.take(Forecast({"maintenance": queue}).as_json())


@pytest.mark.usefixtures("forecast")
async def test_a_queue_and_a_check_tell_what_a_task_would_wait(api: httpx.AsyncClient, spine: Spine) -> None:
    said = (await api.get("/v1/queues/maintenance")).json()["predicted_wait"]
    assert (said["basis"], said["confidence"], said["reason"]) == ("flow", "low", None)
    assert 40 < said["p50_seconds"] < 60 < said["p95_seconds"]
    assert (await api.get("/v1/queues/email")).json()["predicted_wait"] == NOTHING | {"reason": "not_known"}

    async with spine.store.transaction() as connection:
        await catalogue.publish(connection, "w#1", [TaskTypeSpec(name="noop", time_limit_seconds=60.0)])
    body = {"task_type": "noop", "queue": "maintenance", "priority": 3}
    verdict = (await api.post("/v1/tasks/validate", json=body)).json()
    assert verdict["predicted_wait"] == said
    urgent = (await api.post("/v1/tasks/validate", json=body | {"priority": 10})).json()["predicted_wait"]
    assert urgent["p95_seconds"] < said["p50_seconds"]

    await spine.run("INSERT INTO breaker (scope, name, seen, machine) VALUES ('task_type', 'noop', 'open', '{}')")
    await spine.commits.breakers.single_pass()
    verdict = (await api.post("/v1/tasks/validate", json=body)).json()
    assert verdict["predicted_wait"] == NOTHING | {"reason": "breaker_open"}


@pytest.mark.usefixtures("forecast")
async def test_a_waiting_task_tells_how_much_longer(api: httpx.AsyncClient, spine: Spine) -> None:
    new = [new_task(queue="maintenance", priority=3) for _ in range(60)] + [
        new_task(queue="maintenance", priority=5),
        new_task(queue="maintenance", priority=3, delay_seconds=60.0),
        new_task(queue="maintenance", priority=2),
    ]
    await spine.commits.write_batch(new)
    await spine.commits.drain()
    await spine.run(
        "UPDATE task_live SET state = 'held', place = 'held', held_reason = :why WHERE priority = 2",
        why="breaker:task_type:noop",
    )

    async def said(place: int) -> dict[str, float | str | None] | None:
        found: dict[str, float | str | None] | None = (await api.get(f"/v1/tasks/{new[place].id}")).json()[
            "predicted_wait"
        ]
        return found

    first, middle, last, urgent = [((await said(place)) or {})["p50_seconds"] for place in (0, 30, 59, 60)]
    assert isinstance(first, float)
    assert isinstance(middle, float)
    assert isinstance(last, float)
    assert isinstance(urgent, float)
    assert urgent < first < middle < last
    assert 10 < middle < 20, "thirty-one of a second are ahead, two at a time"
    assert await said(61) is None, "it is not due"
    await spine.run("INSERT INTO breaker (scope, name, seen, machine) VALUES ('task_type', 'noop', 'half_open', '{}')")
    assert await said(62) == NOTHING | {"reason": "breaker_open"}
    await spine.run("UPDATE breaker SET seen = 'closed'")
    assert await said(62) == NOTHING | {"reason": "not_known"}, "it goes, at a rate that nobody predicts"
    await spine.run("UPDATE task_live SET held_reason = 'unknown_task_type' WHERE priority = 2")
    assert await said(62) == NOTHING | {"reason": "unknown_task_type"}


@pytest.mark.usefixtures("forecast")
async def test_a_task_behind_more_than_are_counted_is_told_the_wait_of_one_that_comes_now(
    app: FastAPI, api: httpx.AsyncClient, spine: Spine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_COUNTED", 5)
    new = [new_task(queue="maintenance", priority=3) for _ in range(7)]
    await spine.commits.write_batch(new)
    await spine.commits.drain()
    of_now = (await api.get("/v1/queues/maintenance")).json()["predicted_wait"]
    fifth, last = [(await api.get(f"/v1/tasks/{new[place].id}")).json()["predicted_wait"] for place in (5, 6)]
    assert fifth["p95_seconds"] < of_now["p50_seconds"]
    assert last == of_now
    for place, told in ((5, fifth), (6, last)):
        facts = await app.state.parts.views.explainer._facts(UUID(new[place].id))
        assert facts.prediction.p95_seconds == told["p95_seconds"], "as its explanation says"


async def test_the_record_is_told_by_queue_and_in_all(api: httpx.AsyncClient, spine: Spine) -> None:
    async with spine.store.transaction() as connection:
        await predictions.count(connection, {"email": Tally(10, 4, 9, {0: 3, 10: 1}), "reports": Tally(30, 20, 30)})
        await predictions.count(connection, {"email": Tally(10, 6, 10, {10: 1, 11: 2})})

    for window in (60, 3600, 86_400):
        answer = (await api.get("/v1/metrics/predictions", params={"window_seconds": window})).json()
        found = {item.pop("queue"): item for item in answer["items"]}
        assert found["email"] == {
            "compared": 20,
            "within_p50": 0.5,
            "within_p95": 0.95,
            "median_error_seconds": pytest.approx(2.47, rel=0.06),
        }
        assert found["reports"]["within_p95"] == 1
        assert found["critical"] == {
            "compared": 0,
            "within_p50": None,
            "within_p95": None,
            "median_error_seconds": None,
        }
        assert (answer["totals"]["compared"], answer["totals"]["within_p50"]) == (50, 0.6)
    assert (await api.get("/v1/metrics/predictions", params={"window_seconds": 0})).status_code == 422

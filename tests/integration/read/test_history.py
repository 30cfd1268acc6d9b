"""Samples of queues and workers, as the API tells them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from pointsman_service.api.metrics.history import QueueMetricsView, WorkerMetricsView
from pointsman_service.store.metrics import history
from pointsman_service.store.metrics.history import Of, Sampled
from tests.integration.spine import Spine

_NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


async def sampled(spine: Spine, of: Of, name: str, figure: str, *seen: tuple[int, float]) -> None:
    """So many minutes after noon it was this."""
    async with spine.store.transaction() as connection:
        rows = [
            Sampled(name, figure, at, 1, value, value, value, value, at)
            for at, value in ((_NOON + timedelta(minutes=minute), value) for minute, value in seen)
        ]
        await history.add(connection, of, rows)


async def read(api: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await api.get(path, params={"until": (_NOON + timedelta(hours=1)).isoformat()} | parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_queues_are_told_step_by_step_with_their_gaps(api: httpx.AsyncClient, spine: Spine) -> None:
    await sampled(spine, "queue", "email", "depth", (0, 4.0), (1, 8.0), (59, 2.0))
    await sampled(spine, "queue", "old", "depth", (3, 1.0))
    answer = await api.get("/v1/metrics/queues", params={"until": "2026-11-20T13:00:00Z"})
    QueueMetricsView.model_validate_json(answer.content, strict=True)
    found = answer.json()
    assert (found["step_seconds"], found["since"]) == (60, "2026-11-20T12:00:00Z")
    assert found["sampled_at"] == "2026-11-20T12:59:00Z"
    points = {item["queue"]: item["points"] for item in found["items"]}
    assert points.keys() == {*spine.queues, "old"}
    assert {len(one) for one in points.values()} == {60}
    email = points["email"]
    assert email[1]["depth"] == {"avg": 8.0, "min": 8.0, "max": 8.0, "last": 8.0}
    assert (email[1]["samples"], email[1]["held"]) == (1, None)
    assert (email[2]["samples"], email[2]["depth"]) == (0, None), "nobody looked, and nothing is said"

    found = await read(api, "/v1/metrics/queues", step_seconds=1800, queue="email")
    ((first, second),) = [item["points"] for item in found["items"]]
    assert first["depth"] == {"avg": 6.0, "min": 4.0, "max": 8.0, "last": 8.0}
    assert second["depth"]["avg"] == 2.0
    found = await read(api, "/v1/metrics/queues", window_seconds=86_400, step_seconds=3600, queue="email")
    assert [point["samples"] for point in found["items"][0]["points"]] == [0] * 23 + [3], "of the rows by hour"


async def test_workers_are_told_by_pool(api: httpx.AsyncClient, spine: Spine) -> None:
    await sampled(spine, "pool", "email", "busy", (0, 3.0))
    await sampled(spine, "pool", "email", "utilization", (0, 0.75))
    answer = await api.get("/v1/metrics/workers", params={"until": "2026-11-20T13:00:00Z", "pool": "email"})
    WorkerMetricsView.model_validate_json(answer.content, strict=True)
    (email,) = answer.json()["items"]
    assert email["points"][0]["utilization"]["avg"] == 0.75
    assert email["points"][0]["processes"] is None


async def test_too_many_points_are_refused_with_what_to_ask_instead(api: httpx.AsyncClient) -> None:
    asked = {"window_seconds": 7 * 86_400, "step_seconds": 60}
    for path in ("/v1/metrics/queues", "/v1/metrics/workers"):
        answer = await api.get(path, params=asked)
        assert answer.status_code == 422
        assert "a longer step" in answer.json()["errors"][0]["detail"]
        for parameters in ({"step_seconds": 61}, {"step_seconds": 0}, {"window_seconds": 0}, {"until": "yesterday"}):
            assert (await api.get(path, params=parameters)).status_code == 422
        longest = await api.get(path, params={"window_seconds": 3 * 366 * 86_400})
        assert longest.status_code == 200


async def test_a_name_that_nobody_has_is_refused_and_one_that_is_gone_is_told(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    asked: list[tuple[str, Of]] = [("/v1/metrics/queues", "queue"), ("/v1/metrics/workers", "pool")]
    for path, name in asked:
        until = {"until": "2026-11-20T13:00:00Z"}
        await sampled(spine, name, "old", "depth" if name == "queue" else "busy", (3, 1.0))
        assert [item[name] for item in (await read(api, path, **{name: "old"}))["items"]] == ["old"]
        for unknown, detail in (("emial", f"there is no such {name}"), ("", "at least 1")):
            answer = await api.get(path, params=until | {name: unknown})
            assert answer.status_code == 422
            (fault,) = answer.json()["errors"]
            assert fault["pointer"] == f"/query/{name}"
            assert detail in fault["detail"]

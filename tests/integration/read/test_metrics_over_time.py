"""``/v1/metrics/timeseries``, and groups of both metrics whose names others choose."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from pointsman_contract.queues import list_key
from pointsman_service.observe import task_series
from pointsman_service.store.metrics import counters, folding
from pointsman_service.store.metrics.counters import Tallies
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def count(spine: Spine, *moves: tuple[str, str | None, timedelta, float]) -> None:
    """Executions of (task type, caller, time before noon, seconds)."""
    tallies = Tallies()
    for task_type, caller, age, seconds in moves:
        tally = tallies.of(task_type, "email", NOON - age, caller, "email")
        tally.counts.update(executions=1, succeeded=1)
        tally.ran(seconds)
    async with spine.store.transaction() as connection:
        await counters.add(connection, tallies)


async def fold(spine: Spine, names_a_day: int = 100) -> None:
    async with spine.store.transaction() as connection:
        await folding.fold(connection, 1000, names_a_day)


async def read(api: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await api.get(f"/v1/metrics/{path}", params={"until": "2026-03-02T12:00:00Z"} | parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


async def test_each_step_has_a_value_and_empty_ones_too(api: httpx.AsyncClient, spine: Spine) -> None:
    await count(spine, ("a", "x", minutes(110), 1.0), ("a", "x", minutes(100), 3.0), ("b", "x", minutes(1), 5.0))
    await fold(spine)
    await count(spine, ("a", "x", minutes(100), 9.0))
    body = await read(
        api, "timeseries", metric=["succeeded", "run_seconds.avg"], window_seconds=6600, step_seconds=1800
    )
    assert body["steps"] == [f"2026-03-02T{at}:00Z" for at in ("10:00", "10:30", "11:00", "11:30")]
    assert (body["from"], body["until"], body["resolution"]) == (body["steps"][0], "2026-03-02T12:00:00Z", "minute")
    assert body["items"] == [
        {
            "others": False,
            "values": {
                "succeeded": [3, 0, 0, 1],
                "run_seconds.avg": [pytest.approx(13 / 3, abs=1e-5), None, None, 5.0],
            },
        }
    ]


async def test_a_step_that_is_not_over_ends_now(api: httpx.AsyncClient) -> None:
    began = datetime.now(UTC)
    answer = await api.get("/v1/metrics/timeseries?window_seconds=864000&step_seconds=86400")
    body = answer.json()
    ends = datetime.fromisoformat(body["until"])
    assert began - timedelta(seconds=5) < ends < datetime.now(UTC) + timedelta(seconds=5)
    assert datetime.fromisoformat(body["steps"][-1]) <= ends
    assert body["resolution"] == "day"


async def test_series_of_groups_add_up_with_those_of_the_others(api: httpx.AsyncClient, spine: Spine) -> None:
    await count(
        spine,
        *(
            (kind, "x", minutes(ago), 1.0)
            for kind, n in zip("abcd", (4, 3, 2, 1), strict=True)
            for ago in range(1, n + 1)
        ),
    )
    await fold(spine)
    body = await read(
        api, "timeseries", metric="succeeded", window_seconds=300, step_seconds=60, group_by="task_type", top=2
    )
    assert [(item["task_type"], item["others"], item["values"]["succeeded"]) for item in body["items"]] == [
        ("a", False, [0, 1, 1, 1, 1]),
        ("b", False, [0, 0, 1, 1, 1]),
        (None, True, [0, 0, 0, 1, 2]),
    ]
    whole = await read(api, "timeseries", metric="succeeded", window_seconds=300, step_seconds=60)
    assert whole["items"][0]["values"]["succeeded"] == [0, 1, 2, 3, 4]


async def test_steps_are_longer_where_nothing_finer_is_kept(api: httpx.AsyncClient, spine: Spine) -> None:
    await count(spine, ("a", "x", minutes(30), 1.0))
    await fold(spine)
    await spine.run("UPDATE task_metrics_kept SET minutes_since = '2026-03-03', carried_to = '1970-01-01'")
    body = await read(api, "timeseries", metric="succeeded", window_seconds=7200, step_seconds=60)
    assert (body["step_seconds"], body["resolution"]) == (3600, "hour")


@pytest.mark.parametrize(
    "query",
    [
        "metric=speed",
        "metric=failed&step_seconds=61",
        "metric=failed&step_seconds=0",
        "metric=failed&window_seconds=200000&step_seconds=60",
        "metric=failed&window_seconds=90060&step_seconds=60",
        "metric=failed&window_seconds=9000000&step_seconds=21600",
        "metric=failed&window_seconds=86400&step_seconds=300&group_by=queue&top=50",
        "metric=failed&group_by=worker",
        "metric=failed&top=0",
    ],
)
async def test_series_that_ask_for_too_much_are_422(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.get(f"/v1/metrics/timeseries?{query}")
    assert answer.status_code == 422


@pytest.mark.parametrize("group_by", ["task_type", "caller"])
async def test_steps_are_hours_where_minutes_are_too_many(
    api: httpx.AsyncClient, spine: Spine, monkeypatch: pytest.MonkeyPatch, group_by: str
) -> None:
    await count(spine, *((kind, kind, minutes(age), 1.0) for kind in "abc" for age in (30, 90, 150)))
    await fold(spine)

    async def told(window: int, *metrics: str) -> tuple[int, list[float]]:
        asked = {"metric": metrics, "window_seconds": window, "step_seconds": 600, "group_by": group_by}
        body = await read(api, "timeseries", **asked)
        return body["step_seconds"], [sum(item["values"]["succeeded"]) for item in body["items"]]

    fine, coarse = (600, [3, 3, 3]), (3600, [3, 3, 3])
    durations = ("succeeded", "run_seconds.p50")
    assert await told(10_800, *durations) == fine
    # An hour with something of three names is at most 180 rows of minutes, and as many of their callers.
    rows = 3 * 180 * (2 if group_by == "caller" else 1)
    monkeypatch.setattr(task_series, "_MOST_HISTOGRAMS", rows)
    assert await told(10_800, *durations) == fine
    monkeypatch.setattr(task_series, "_MOST_HISTOGRAMS", rows - 1)
    assert await told(10_800, *durations) == coarse
    assert await told(10_800, "succeeded") == fine
    assert (await told(7_200, *durations))[0] == 600
    monkeypatch.setattr(task_series, "_MOST_MINUTES", rows - 1)
    assert await told(10_800, "succeeded") == coarse


async def test_callers_add_up_with_what_has_none_and_with_the_others(api: httpx.AsyncClient, spine: Spine) -> None:
    moves = [(who, n) for who, n in (("shop", 5), ("mail", 3), ("late", 2), (None, 4))]
    for who, n in moves:
        await count(spine, *(("a", who, minutes(1), 1.0) for _ in range(n)))
        await fold(spine, names_a_day=2)
    await count(spine, ("a", "late", minutes(1), 1.0))
    await fold(spine, names_a_day=2)
    body = await read(api, "tasks", group_by="caller")
    assert [(item["caller"], item["others"], item["succeeded"]) for item in body["items"]] == [
        (None, True, 3),
        ("mail", False, 3),
        ("shop", False, 5),
        (None, False, 4),
    ]
    assert body["totals"]["succeeded"] == 15
    assert sum(item["run_seconds"]["avg"] * item["execution_count"] for item in body["items"]) == pytest.approx(15)
    ranked = await read(api, "tasks", group_by="caller", top=1)
    assert [(item["caller"], item["others"], item["succeeded"]) for item in ranked["items"]] == [
        ("shop", False, 5),
        (None, False, 4),
        (None, True, 6),
    ]
    assert ranked["totals"] == body["totals"]


async def test_the_life_of_tasks_is_told_by_caller_error_and_pool(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.open_epoch()
    now = {"until": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    for caller in ("shop", "mail"):
        await spine.commits.join(new_task(caller=caller))
    await spine.commits.drain()
    for error in (None, {"type": "KeyError", "message": "", "traceback": ""}):
        message = await spine.message(MAINTENANCE)
        assert message is not None
        verdict = await spine.gate(message, owner="maintenance-2@host#1")
        more: dict[str, Any] = {} if error is None else {"error": error}
        more["worker"] = "maintenance-2@host#1"
        await spine.report(message, verdict, "succeeded" if error is None else "failed", **more)
    await spine.record_all()
    for _ in range(2):
        found = {by: (await read(api, "tasks", group_by=by, **now))["items"] for by in ("caller", "error", "pool")}
        assert [(one["caller"], one["submitted"], one["execution_count"]) for one in found["caller"]] == [
            ("mail", 1, 1),
            ("shop", 1, 1),
        ]
        assert [(one["error"], one["failed"], one["succeeded"]) for one in found["error"]] == [
            ("KeyError", 1, 0),
            (None, 0, 1),
        ]
        assert [(one["pool"], one["submitted"], one["started"]) for one in found["pool"]] == [
            ("maintenance", 0, 2),
            (None, 2, 0),
        ]
        await fold(spine)


async def test_an_answer_while_the_broker_is_away_says_up_to_when_reports_were_read(
    api: httpx.AsyncClient, spine: Spine, valkey: Any
) -> None:
    await spine.open_epoch()
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.report(message, await spine.gate(message))
    await spine.record_all()
    recorded = datetime.now(UTC)
    valkey.kill()
    told = datetime.fromisoformat((await read(api, "tasks"))["recorded_up_to"])
    assert recorded - timedelta(minutes=1) < told <= recorded


async def test_an_answer_says_up_to_when_reports_are_in_it(api: httpx.AsyncClient, spine: Spine) -> None:
    await spine.open_epoch()
    before = datetime.now(UTC)
    told = datetime.fromisoformat((await read(api, "tasks"))["recorded_up_to"])
    assert before - timedelta(seconds=1) <= told <= datetime.now(UTC)

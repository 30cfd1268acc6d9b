import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from pointsman_contract import keys
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.observe.totals import TotalsWatch
from pointsman_service.store.metrics import counters, folding
from pointsman_service.store.metrics import totals as stored
from pointsman_service.store.metrics.counters import COUNTERS, Tallies
from tests.integration.spine import Spine


def tallies(task_type: str, queue: str, at: datetime, runs: list[float], failed: int = 0, **counts: int) -> Tallies:
    """The tallies of runs of these lengths, the last of them failed."""
    found = Tallies()
    tally = found.of(task_type, queue, at)
    for seconds in runs:
        tally.ran(seconds)
        tally.waited(seconds / 10)
    tally.counts.update(executions=len(runs), succeeded=len(runs) - failed, failed=failed, started=len(runs), **counts)
    return found


async def add(spine: Spine, *parts: Tallies) -> None:
    async with spine.store.transaction() as connection:
        for part in parts:
            await counters.add(connection, part)


async def fold(spine: Spine) -> None:
    async with spine.store.transaction() as connection:
        await folding.fold(connection, 1000)


async def read(api: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await api.get("/v1/metrics/tasks", params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_figures_are_the_same_before_and_after_folding(api: httpx.AsyncClient, spine: Spine) -> None:
    now = datetime.now(UTC)
    await add(spine, tallies("a", "critical", now, [1.0, 2.0, 3.0], failed=1, sla_met=3))
    await fold(spine)
    await add(
        spine,
        tallies("a", "email", now, [4.0], sla_missed=1),
        tallies("a", "critical", now, [2.0], retried=1),
        tallies("b", "email", now - timedelta(minutes=10), [100.0]),
    )
    before = await read(api)
    await fold(spine)
    after = await read(api)

    assert (after["items"], after["totals"]) == (before["items"], before["totals"])
    by_type = {item["task_type"]: item for item in before["items"]}
    assert list(by_type) == ["a", "b"]
    a = by_type["a"]
    assert "queue" not in a
    assert (a["execution_count"], a["succeeded"], a["failed"], a["retry_count"]) == (5, 4, 1, 1)
    assert (a["success_rate"], a["failure_rate"]) == (0.8, 0.2)
    assert a["sla_attainment"] == 0.75
    assert a["run_seconds"]["avg"] == pytest.approx(12 / 5)
    assert a["run_seconds"]["p50"] == pytest.approx(2.0, rel=0.05)
    assert a["run_seconds"]["p99"] == pytest.approx(4.0, rel=0.05)
    assert a["queue_wait_seconds"]["avg"] == pytest.approx(1.2 / 5)
    assert before["totals"]["execution_count"] == 6
    assert before["totals"]["run_seconds"]["p99"] == pytest.approx(100.0, rel=0.05)


async def test_window_leaves_out_older_minutes(api: httpx.AsyncClient, spine: Spine) -> None:
    now = datetime.now(UTC)
    await add(
        spine,
        tallies("new", "email", now, [1.0]),
        tallies("old", "email", now - timedelta(minutes=30), [1.0]),
    )

    assert [item["task_type"] for item in (await read(api, window_seconds=300))["items"]] == ["new"]
    assert [item["task_type"] for item in (await read(api))["items"]] == ["new", "old"]


async def test_window_that_ended_leaves_out_newer_minutes(api: httpx.AsyncClient, spine: Spine) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    minute = timedelta(minutes=1)
    await add(
        spine,
        tallies("before", "email", midnight - timedelta(days=1) - minute, [1.0]),
        tallies("first", "email", midnight - timedelta(days=1), [1.0]),
        tallies("last", "email", midnight - minute, [1.0]),
        tallies("after", "email", midnight, [1.0]),
    )

    for until in ("2026-03-02T00:00:00Z", "2026-03-02T02:00:00+02:00"):
        body = await read(api, window_seconds=86_400, until=until)
        assert [item["task_type"] for item in body["items"]] == ["first", "last"], until
        assert body["totals"]["execution_count"] == 2
    partly = await read(api, window_seconds=20, until="2026-03-01T23:59:30Z")
    assert [item["task_type"] for item in partly["items"]] == ["last"]
    everything = await read(api, window_seconds=31 * 86_400, until="2026-03-10T00:00:00Z")
    assert len(everything["items"]) == 4


@pytest.mark.parametrize("until", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_end_beyond_all_time_is_no_error(api: httpx.AsyncClient, until: str) -> None:
    assert (await read(api, until=until))["items"] == []


async def test_grouped_by_queue_the_items_are_queues(api: httpx.AsyncClient, spine: Spine) -> None:
    now = datetime.now(UTC)
    await add(spine, tallies("a", "email", now, [1.0]), tallies("b", "email", now, [1.0]))

    (item,) = (await read(api, group_by="queue"))["items"]

    assert (item["queue"], item["execution_count"]) == ("email", 2)
    assert "task_type" not in item


async def test_rates_are_null_when_nothing_ended(api: httpx.AsyncClient) -> None:
    body = await read(api)

    assert body["items"] == []
    totals = body["totals"]
    assert totals["execution_count"] == 0
    assert totals["success_rate"] is totals["failure_rate"] is totals["sla_attainment"] is None
    assert totals["run_seconds"] == {"avg": None, "p50": None, "p95": None, "p99": None}


@pytest.mark.parametrize(
    "query",
    [
        "window_seconds=0",
        "window_seconds=nan",
        "window_seconds=1e9",
        "group_by=worker",
        "until=now",
        "until=2026",
        "group_by=queue&group_by=task_type",
        "until=2026-01-01T00:00:00",
        "x=1",
    ],
)
async def test_bad_parameter_is_422(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"/v1/metrics/tasks?{query}")).status_code == 422


async def test_prometheus_text_has_totals_depth_and_workers(
    api: httpx.AsyncClient, spine: Spine, add_worker: Any
) -> None:
    await add(spine, tallies("a", "email", datetime.now(UTC), [1.0, 2.0], failed=1, submitted=3))
    await add_worker("email@h", ["email"])

    answer = await api.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'pointsman_tasks_submitted_total{queue="email",task_type="a"} 3.0' in lines
    assert 'pointsman_tasks_failed_total{queue="email",task_type="a"} 1.0' in lines
    assert 'pointsman_task_run_seconds_sum{queue="email",task_type="a"} 3.0' in lines
    assert 'pointsman_task_run_seconds_count{queue="email",task_type="a"} 2.0' in lines
    assert 'pointsman_queue_depth{queue="critical"} 0.0' in lines
    assert 'pointsman_workers_up{pool="email"} 1.0' in lines
    assert 'pointsman_workers_up{pool="critical"} 0.0' in lines
    assert "pointsman_broker_up 1.0" in lines
    assert "pointsman_database_up 1.0" in lines
    assert "pointsman_recorder_lag_seconds 0.0" in lines


async def test_a_counter_never_falls_from_one_process_to_the_next(
    fresh_api: Callable[[], httpx.AsyncClient], spine: Spine
) -> None:
    """Two processes behind one address, each asked in turn while work is counted and folded."""
    async with fresh_api() as one, fresh_api() as other:
        told: list[dict[str, float]] = []
        for turn in range(24):
            await add(spine, tallies("a", "email", datetime.now(UTC), [0.1, 0.7 / (turn + 1)]))
            await spine.server.command("HINCRBY", keys.SET_ASIDE_COUNTS, "total:email", 1)
            if turn % 5 == 4:
                await fold(spine)
            if turn % 8 == 7:
                await spine.run("UPDATE totals SET taken_at = taken_at - interval '1 minute'")
            await spine.run("UPDATE exposed_metrics SET taken_at = taken_at - interval '1 minute'")
            exposed = (await (one, other)[turn % 2].get("/metrics")).text
            told.append(totals(exposed))
    falls = [(name, a[name], b[name]) for a, b in pairwise(told) for name in a if b[name] < a[name]]
    assert falls == []
    assert told[-1]['pointsman_tasks_succeeded_total{queue="email",task_type="a"}'] == 48
    assert told[-1]['pointsman_messages_set_aside_total{queue="email"}'] == 24


async def test_seconds_that_add_up_to_less_by_rounding_alone_do_not_fall(spine: Spine) -> None:
    await add(spine, tallies("a", "email", datetime.now(UTC), [1.0]))
    async with spine.store.transaction() as connection:
        assert await stored.renew(connection)
    await spine.run("UPDATE totals SET sums = replace(sums, ',1.0,', ',1.0000000000000002,')")
    async with spine.store.transaction() as connection:
        assert await stored.renew(connection)
        found = await stored.read(connection)
    assert found is not None
    assert found.sums[0].counts["run_seconds_sum"] == 1.0000000000000002


async def test_the_sums_of_a_process_that_is_summing_up_are_not_waited_for(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    await add(spine, tallies("a", "email", datetime.now(UTC), [1.0]))
    before = totals((await api.get("/metrics")).text)
    for table in ("totals", "exposed_metrics"):
        await spine.run(f"UPDATE {table} SET taken_at = taken_at - interval '1 minute'")
    async with spine.store.transaction() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pointsman totals'))"))
        await add(spine, tallies("a", "email", datetime.now(UTC), [1.0]))
        assert totals((await api.get("/metrics")).text) == before
    await spine.run("UPDATE exposed_metrics SET taken_at = taken_at - interval '1 minute'")
    assert totals((await api.get("/metrics")).text) != before


async def test_sums_of_a_release_that_counts_less_are_taken_anew(spine: Spine) -> None:
    """What it does not count would be told as 0, which Prometheus takes for a restart."""
    await add(spine, tallies("a", "email", datetime.now(UTC), [1.0], kept_p50=5))
    watch = TotalsWatch(spine.store)
    assert (await watch.read()).sums[0].counts["kept_p50"] == 5
    assert COUNTERS[-1] == "kept_p50"
    await spine.run("UPDATE totals SET sums = replace(replace(sums, ',\"kept_p50\"', ''), ',5.0],', '],')")
    async with spine.store.statement() as connection:
        before = await stored.read(connection)
    assert before is not None
    assert (before.is_whole, before.sums[0].counts["kept_p50"]) == (False, 0)
    found = await watch.read()
    assert (found.is_whole, found.sums[0].counts["kept_p50"]) == (True, 5)


async def test_totals_go_on_counting_what_is_kept_no_longer(spine: Spine) -> None:
    async def renewed() -> dict[str | None, tuple[float, int]]:
        async with spine.store.transaction() as connection:
            assert await stored.renew(connection)
            found = await stored.read(connection)
        assert found is not None
        return {part.queue: (part.counts["succeeded"], sum(part.run.values())) for part in found.sums}

    await add(
        spine, tallies("a", "email", datetime.now(UTC), [1.0, 2.0]), tallies("a", "reports", datetime.now(UTC), [3.0])
    )
    assert await renewed() == {"email": (2, 2), "reports": (1, 1)}
    await spine.run("DELETE FROM task_metrics_delta")
    assert await renewed() == {"email": (2, 2), "reports": (1, 1)}
    await add(spine, tallies("a", "email", datetime.now(UTC), [1.0]))
    assert await renewed() == {"email": (3, 3), "reports": (1, 1)}


async def test_task_types_that_workers_published_are_counted_from_zero(
    api: httpx.AsyncClient, app: Any, publish_types: Any
) -> None:
    await publish_types(
        TaskTypeSpec(name="mail", queue="email", time_limit_seconds=9), TaskTypeSpec(name="any", time_limit_seconds=9)
    )
    await app.state.parts.catalogue.refresh()
    exposed = totals((await api.get("/metrics")).text)
    shown = {name for name in exposed if name.startswith("pointsman_tasks_failed_total")}
    assert shown == {
        'pointsman_tasks_failed_total{queue="email",task_type="mail"}',
        *(
            f'pointsman_tasks_failed_total{{queue="{queue}",task_type="any"}}'
            for queue in ("critical", "high_priority", "reports", "maintenance")
        ),
    }
    assert {exposed[name] for name in shown} == {0.0}


def totals(exposed: str) -> dict[str, float]:
    """Everything that may only rise."""
    rising = re.findall(r"^(\w+(?:_total|_sum|_count|_bucket)\S*) (\S+)$", exposed, re.MULTILINE)
    return {name: float(number) for name, number in rising}


async def test_open_metrics_are_given_to_whoever_asks(api: httpx.AsyncClient) -> None:
    answer = await api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")

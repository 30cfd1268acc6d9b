import asyncio
import re
import subprocess
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from pointsman_service.alert.kinds import KINDS
from pointsman_service.app.exposition import make_keeper
from pointsman_service.observe.exposed import OLD_SECONDS, ExposedWatch
from pointsman_service.observe.exposition_keeper import ExpositionKeeper
from pointsman_service.observe.views import Views
from pointsman_service.store.metrics import counters, exposed
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.metrics.exposed import Body
from tests.integration.spine import Spine
from tests.needs import program

Fresh = Callable[[], httpx.AsyncClient]


@pytest.fixture
def keeper(app: FastAPI, spine: Spine) -> ExpositionKeeper:
    """Renews the snapshot, as a reconciler does."""
    parts = app.state.parts
    return make_keeper(spine.settings, spine.store, parts.catalogue, parts.views)


async def count(spine: Spine, task_type: str = "a") -> None:
    """One task that ran and succeeded."""
    tallies = Tallies()
    tally = tallies.of(task_type, "email", datetime.now(UTC))
    tally.ran(0.5)
    tally.counts.update(executions=1, succeeded=1)
    async with spine.store.transaction() as connection:
        await counters.add(connection, tallies)


async def age(spine: Spine, seconds: float) -> None:
    await spine.run(f"UPDATE exposed_metrics SET taken_at = taken_at - interval '{seconds} seconds'")


def series(scraped: str) -> list[tuple[str, ...]]:
    """Every series by its name and labels."""
    return sorted(
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    )


async def test_scrapes_read_one_row_and_nothing_that_grows(
    keeper: ExpositionKeeper, fresh_api: Fresh, spine: Spine
) -> None:
    await count(spine)
    await keeper.single_pass()
    await count(spine)
    others = "task_live, task_metrics, task_metrics_delta, totals, worker, alert, breaker, leader, recorder_position"
    async with spine.store.transaction() as connection, fresh_api() as one, fresh_api() as other:
        await connection.execute(text(f"LOCK TABLE {others} IN ACCESS EXCLUSIVE MODE"))
        answers = [(await api.get("/metrics")).text for api in (one, other, one)]
    for answer in answers:
        assert 'pointsman_tasks_succeeded_total{queue="email",task_type="a"} 1.0' in answer
        assert 'pointsman_queue_depth{queue="email"} 0.0' in answer
        assert re.search(r"^pointsman_snapshot_age_seconds \d+\.\d+$", answer, re.MULTILINE)
        assert "pointsman_tally_age_seconds" in answer


async def test_snapshot_that_nobody_renews_is_renewed_by_who_is_asked(
    keeper: ExpositionKeeper, api: httpx.AsyncClient, spine: Spine
) -> None:
    await keeper.single_pass()
    await count(spine)
    await spine.run("DELETE FROM totals")
    assert "pointsman_tasks_succeeded_total{" not in (await api.get("/metrics")).text
    await age(spine, OLD_SECONDS + 1)
    assert 'pointsman_tasks_succeeded_total{queue="email",task_type="a"} 1.0' in (await api.get("/metrics")).text


async def test_old_snapshot_has_counters_and_no_gauges(keeper: ExpositionKeeper, spine: Spine) -> None:
    async def nobody() -> bool:
        return False

    await count(spine)
    await keeper.single_pass()
    watch = ExposedWatch(spine.store, nobody)
    seen = []
    for seconds in (0, OLD_SECONDS + 1):
        await age(spine, seconds)
        found = await watch.read()
        assert found is not None
        encoded = await watch.encoded(found, openmetrics=False)
        assert encoded is not None
        assert b"pointsman_tasks_succeeded_total{" in encoded.plain
        assert b"pointsman_task_run_seconds_bucket{" in encoded.plain
        seen.append(b"pointsman_queue_depth{" in encoded.plain)
    assert seen == [True, False]


async def test_what_was_gathered_before_another_snapshot_does_not_stand_after_it(
    keeper: ExpositionKeeper, spine: Spine
) -> None:
    async with spine.store.statement() as connection:
        before = await exposed.number(connection)
    await keeper.single_pass()
    async with spine.store.statement() as connection:
        assert not await exposed.write(connection, Body("late", ""), before, None)
        found = await exposed.read(connection, 0)
    assert found is not None
    assert found.number > before
    assert found.body is not None
    assert found.body.rising != "late"


async def test_snapshot_of_after_a_crash_is_not_taken_for_one_of_before(
    keeper: ExpositionKeeper, api: httpx.AsyncClient, spine: Spine
) -> None:
    await keeper.single_pass()
    await api.get("/metrics")
    assert await spine.rows("SELECT relpersistence::text FROM pg_class WHERE relname = 'exposed_metrics'") == [
        {"relpersistence": "u"}
    ]
    # What PostgreSQL makes of a table that is not logged.
    await spine.run("TRUNCATE exposed_metrics")
    await spine.run("DELETE FROM totals")
    await count(spine)
    await keeper.single_pass()
    assert "pointsman_tasks_succeeded_total{" in (await api.get("/metrics")).text


async def test_series_are_the_same_after_many_differently_named_workers(
    keeper: ExpositionKeeper, app: FastAPI, api: httpx.AsyncClient, spine: Spine, add_worker: Any
) -> None:
    await count(spine)
    await add_worker("email@h", ["email"])
    await keeper.single_pass()
    before = series((await api.get("/metrics")).text)
    await spine.run(
        "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
        " SELECT 'o' || n, 'pod-' || n || '@host-' || n, 'pod-' || n, '{email}', 2, n, 'host-' || n, 1, now(), now()"
        " FROM generate_series(1, 500) AS n"
    )
    await spine.run(
        "INSERT INTO breaker (scope, name, seen, machine)"
        " SELECT 'worker', 'pod-' || n || '@host-' || n, 'open', '{}' FROM generate_series(1, 500) AS n"
    )
    # One that has kept no answer yet.
    views = Views.over(spine.settings, spine.store, spine.broker, spine.server)
    await make_keeper(spine.settings, spine.store, app.state.parts.catalogue, views).single_pass()
    scraped = (await api.get("/metrics")).text
    assert series(scraped) == before
    assert 'pointsman_workers_up{pool="other"} 500.0' in scraped
    assert 'pointsman_breakers{scope="worker",state="open"} 500.0' in scraped


async def test_every_rule_of_alerts_is_there_before_its_first_alert(
    keeper: ExpositionKeeper, api: httpx.AsyncClient
) -> None:
    await keeper.single_pass()
    scraped = (await api.get("/metrics")).text
    for rule, kind in KINDS.items():
        assert f'pointsman_alerts_open{{rule="{rule}",severity="{kind.severity}"}} 0.0' in scraped


async def test_whoever_takes_gzip_gets_the_same_in_one_member(
    keeper: ExpositionKeeper, api: httpx.AsyncClient, spine: Spine
) -> None:
    await count(spine)
    await keeper.single_pass()
    plain = await api.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    refused = await api.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        async with api.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip", "Accept": accept}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        found = member.decompress(raw).decode()
        assert member.eof
        assert member.unused_data == b""
        expected = await api.get("/metrics", headers={"Accept-Encoding": "identity", "Accept": accept})
        aged = re.compile(r"^(pointsman_\w+_age_seconds) .*$", re.MULTILINE)
        assert aged.sub(r"\1", found) == aged.sub(r"\1", expected.text)


async def test_database_away_leaves_what_the_process_knows_by_itself(
    keeper: ExpositionKeeper, api: httpx.AsyncClient, spine: Spine
) -> None:
    await count(spine)
    await keeper.single_pass()
    await api.get("/metrics")
    async with spine.store.transaction() as connection:
        # Another process may have told more since: none tells what it remembers.
        await connection.execute(text("LOCK TABLE exposed_metrics IN ACCESS EXCLUSIVE MODE"))
        scraped = (await api.get("/metrics")).text
    names = {sample.name for family in text_string_to_metric_families(scraped) for sample in family.samples}
    assert names == {"pointsman_database_up", "pointsman_build_info"}
    assert "pointsman_database_up 0.0" in scraped


async def test_promtool_finds_nothing_to_say_of_a_scrape(
    keeper: ExpositionKeeper, api: httpx.AsyncClient, spine: Spine
) -> None:
    await count(spine)
    await keeper.single_pass()
    assert await asyncio.to_thread(said_by_promtool, (await api.get("/metrics")).text) == (0, "")


def said_by_promtool(scraped: str) -> tuple[int, str]:
    tool = program("promtool", "prometheus")
    ended = subprocess.run([tool, "check", "metrics"], input=scraped, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr

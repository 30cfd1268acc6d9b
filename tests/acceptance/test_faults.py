"""Rows 2, 12 and 22 of the fault list, and a database that goes away."""

import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.store.upkeep.schema import migrate
from tests.stand import invariants
from tests.stand.load import Load
from tests.stand.stack import Row, Stack
from tests.stand.waiting import SLOWEST, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

_SOON_SECONDS = SLOWEST * 8.0


async def test_every_answered_task_runs_once_when_the_service_is_killed_while_submitting(own_stack: Stack) -> None:
    async with Load(own_stack) as load:
        await load.more(60)
        assert load.pending
        own_stack.service.kill()
        own_stack.service.start()
        await load.more(60)

    await invariants.drain(own_stack)
    await invariants.check(own_stack, load.accepted)
    assert load.broken
    assert load.statuses.keys() <= {200, 202}
    assert not invariants.never_ran(own_stack, load.accepted)
    # The workers lived and Redis kept its data, so nothing ran twice, not even what nobody was told about.
    assert not invariants.more_than_once(own_stack, own_stack.ledger.effects())
    assert len(own_stack.ledger.effects()) == (await own_stack.counters())["submitted"]


async def test_nothing_is_lost_and_no_running_task_doubled_when_valkey_comes_back_empty(
    own_stack: Stack, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    release = tmp_path / "release"

    async def broker_seen_away() -> httpx.Response | None:
        # What is known of the broker is kept for a moment.
        answer = await own_stack.http.get("/readyz?verbose")
        return None if answer.json()["parts"]["broker"]["ok"] else answer

    async with Load(own_stack) as load:
        running = [await own_stack.submit("ledger.hold", args=[str(release)], queue="critical") for _ in range(2)]
        await own_stack.wait_for_effects(running)
        await load.more(60)

        own_valkey.kill()
        await load.more(50)  # no error for the caller: intake goes on
        ready = await until(broker_seen_away, "readiness to say that the broker is away")
        own_valkey.start()
        with own_stack.redis() as connection:
            assert not connection.exists("unacked_index"), "it was meant to come back empty"
        await until(own_stack.is_ready, "a new epoch")
        await load.more(50)
        for task_id in running:
            assert (await own_stack.task(task_id))["state"] == "running"
        release.touch()

    assert ready.status_code == 200, "tasks are accepted all the same"
    await invariants.drain(own_stack)
    await invariants.check(own_stack, [*load.accepted, *running])
    assert load.statuses.keys() == {202}
    assert (await own_stack.rows("SELECT max(epoch) AS epoch FROM broker_epoch"))[0]["epoch"] == 2
    assert not invariants.never_ran(own_stack, [*load.accepted, *running])
    assert not invariants.more_than_once(own_stack, running)
    for task_id in running:
        task = await own_stack.task(task_id)
        assert (task["state"], task["attempt"], task["result"]) == ("succeeded", 1, "released")
    # No worker died: what a worker had in hand is reported again, and the rest had not begun.
    assert not invariants.more_than_once(own_stack, load.accepted)


async def test_attempts_nobody_recorded_are_neither_lost_nor_doubled_when_valkey_comes_back_empty(
    own_stack: Stack, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    releases = tmp_path / "release-1", tmp_path / "release-2"

    async def submit(release: Path) -> list[str]:
        return [await own_stack.submit("ledger.hold", args=[str(release)]) for _ in range(own_stack.processes)]

    async def all_published() -> bool:
        return not await own_stack.rows("SELECT id FROM outbox")

    finished = await submit(releases[0])
    await own_stack.wait_for_effects(finished)
    running = await submit(releases[1])
    await until(all_published, "the second tasks to be on the broker")
    own_stack.service.freeze()
    releases[0].touch()
    # Each process reported the first task, which Redis forgets, and began the second.
    await own_stack.wait_for_effects(running)
    own_valkey.kill()
    own_valkey.start()
    own_stack.service.thaw()
    for task_id in finished:
        assert (await own_stack.finished(task_id))["result"] == "released"
    await until(own_stack.is_ready, "a new epoch")
    releases[1].touch()

    await invariants.drain(own_stack)
    await invariants.check(own_stack, [*finished, *running])
    assert own_stack.ledger.effects() == dict.fromkeys([*finished, *running], 1)
    figures = await own_stack.counters()
    assert (figures["succeeded"], figures["started"], figures["duplicates"]) == (6, 6, 0)


async def test_stopped_service_ends_cleanly_and_loses_nothing_under_load(own_stack: Stack) -> None:
    async with Load(own_stack) as load:
        await load.more(60)
        exit_status = await own_stack.service.stop()
        own_stack.service.start()
        await load.more(50)

    assert exit_status == 0
    assert load.statuses.keys() <= {200, 202}
    await invariants.drain(own_stack)
    await invariants.check(own_stack, load.accepted)
    assert not invariants.never_ran(own_stack, load.accepted)
    assert not invariants.more_than_once(own_stack, own_stack.ledger.effects())


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that may be stopped."""
    with PostgresServer(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        await migrate(server.url)
        yield server


@pytest.fixture
async def stack_on_own_postgres(
    own_postgres: PostgresServer, own_valkey: ValkeyServer, tmp_path: Path
) -> AsyncIterator[Stack]:
    """An installation whose database may be stopped."""
    async with Stack(own_postgres.url, own_valkey, tmp_path) as running:
        yield running


async def test_database_away_is_503_soon_and_its_return_is_noticed(
    stack_on_own_postgres: Stack, own_postgres: PostgresServer, tmp_path: Path
) -> None:
    stack = stack_on_own_postgres
    release = tmp_path / "release"
    running = await stack.submit("ledger.hold", args=[str(release)])
    await stack.wait_for_effects([running])
    body = {"task_type": "ledger.write"}

    own_postgres.stop()
    for method, path, content in (
        ("POST", "/v1/tasks", body),
        ("POST", "/v1/tasks", body | {"task_type": "never.published"}),
        ("POST", "/v1/tasks/batch", {"tasks": [body, body]}),
        ("POST", "/v1/tasks/batch", {"tasks": [body], "atomic": True}),
        ("GET", f"/v1/tasks/{running}", None),
        ("GET", f"/v1/tasks/{running}/attempts", None),
        ("GET", "/v1/tasks", None),
        ("GET", "/v1/queues", None),
        ("GET", "/v1/task-types", None),
        ("GET", "/v1/workers", None),
        ("GET", "/v1/metrics/tasks", None),
    ):
        answer = await until(
            partial(_refusal, stack, method, path, content), f"{method} {path} to be refused", _SOON_SECONDS
        )
        assert int(answer.headers["retry-after"]) >= 1, answer.text
        assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert (await stack.http.get("/livez")).status_code == 200
    assert (await stack.http.get("/metrics")).status_code == 200
    assert (await stack.http.get("/readyz")).status_code == 503
    now = await until(partial(_now_naming, stack, running), "the first page to say what runs")
    assert [cause["kind"] for cause in now["causes"]] == ["database_away"]
    assert "submissions are refused (503)" in now["sentence"]
    assert [one["what"] for one in now["unknown"]] == ["database"]
    # The work already sent goes on without a database.
    release.touch()

    own_postgres.start()
    await until(stack.is_ready, "the service to notice the database")
    assert (await stack.finished(running))["state"] == "succeeded"
    later = await stack.submit("ledger.write")
    assert (await stack.finished(later))["state"] == "succeeded"
    await invariants.drain(stack)
    await invariants.check(stack, [running, later])
    assert stack.ledger.effects() == {running: 1, later: 1}


async def _refusal(stack: Stack, method: str, path: str, content: Any) -> httpx.Response | None:
    """The answer when it is 503; figures may be kept for a second, and nothing but that is answered otherwise."""
    asked_at = time.monotonic()
    answer = await stack.http.request(method, path, json=content)
    assert time.monotonic() - asked_at < _SOON_SECONDS, f"{method} {path} took long"
    if answer.status_code == 503:
        return answer
    assert (method, answer.status_code) == ("GET", 200), answer.text
    return None


async def _now_naming(stack: Stack, task_id: str) -> Row | None:
    """The first page, once it names a task that runs; a beat comes every two seconds."""
    answer = await stack.http.get("/v1/now")
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found if [one["task_id"] for one in found["running"]] == [task_id] else None

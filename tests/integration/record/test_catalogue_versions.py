"""Two versions of a worker side by side: the newest with a living worker counts."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import Catalogue
from pointsman_service.store.workers import catalogue
from tests.integration.spine import Spine

OLD = TaskTypeSpec(name="t", time_limit_seconds=1, description="old")
NEW = TaskTypeSpec(name="t", time_limit_seconds=2, description="new")


@pytest.fixture
def spine(closed_spine: Spine) -> Spine:
    return closed_spine


@pytest.fixture
def publish(spine: Spine) -> Any:
    """Let a worker publish a version, ``ago`` seconds ago, and be seen ``seen`` seconds ago."""

    async def publish(owner: str, spec: TaskTypeSpec, ago: float, seen: float) -> None:
        async with spine.store.transaction() as connection:
            await catalogue.publish(connection, owner, [spec])
        await spine.run(
            "UPDATE task_type SET last_published_at = now() - CAST(:ago AS float8) * interval '1 second',"
            " first_published_at = least(first_published_at, now() - CAST(:ago AS float8) * interval '1 second')"
            " WHERE content_hash = :hash",
            ago=ago,
            hash=spec.content_hash(),
        )
        await spine.run(
            "INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)"
            " VALUES (:owner, 'w@h', 'w', '{}', 1, 1, 'h', 1, now(),"
            " now() - CAST(:seen AS float8) * interval '1 second')",
            owner=owner,
            seen=seen,
        )

    return publish


async def counting(spine: Spine) -> str:
    async with spine.store.statement() as connection:
        ((spec, _),) = await catalogue.newest(connection)
    return spec.description


async def test_the_newest_version_counts_while_both_run(spine: Spine, publish: Any) -> None:
    await publish("old", OLD, 100, 0)
    await publish("new", NEW, 50, 0)
    assert await counting(spine) == "new"


async def test_an_old_worker_that_restarts_does_not_bring_its_version_back(spine: Spine, publish: Any) -> None:
    await publish("old", OLD, 100, 0)
    await publish("new", NEW, 50, 0)
    await publish("old again", OLD, 1, 0)
    assert await counting(spine) == "new"


async def test_a_version_that_no_living_worker_runs_does_not_count(spine: Spine, publish: Any) -> None:
    await publish("old", OLD, 100, 0)
    await publish("new", NEW, 50, 3600)
    assert await counting(spine) == "old"


async def test_the_version_published_last_counts_while_no_worker_lives(spine: Spine, publish: Any) -> None:
    await publish("old", OLD, 10, 3600)
    await publish("new", NEW, 50, 3600)
    assert await counting(spine) == "old"


async def test_a_worker_that_publishes_again_offers_what_it_said_last(spine: Spine, publish: Any) -> None:
    await publish("one", OLD, 100, 0)
    async with spine.store.transaction() as connection:
        await catalogue.publish(connection, "one", [NEW])
    assert await spine.rows("SELECT owner, content_hashes FROM worker_catalogue") == [
        {"owner": "one", "content_hashes": [NEW.content_hash()]}
    ]


async def test_a_published_type_that_cannot_be_read_does_not_hide_the_others(spine: Spine, publish: Any) -> None:
    await publish("one", OLD, 100, 0)
    await spine.run("""INSERT INTO task_type (name, content_hash, spec) VALUES ('broken', 'x', '{"name": "broken"}')""")
    assert await counting(spine) == "old"


async def test_route_that_names_no_task_type_but_nearly_one_is_told_once(spine: Spine) -> None:
    known = Catalogue(spine.store, ["feeds.imprt"])
    with capture_logs() as logged:
        for name in ("feeds.import", "feeds.export"):
            async with spine.store.transaction() as connection:
                await catalogue.publish(connection, "w", [TaskTypeSpec(name=name, time_limit_seconds=1)])
            await known.refresh()
    told = [line for line in logged if line["event"] == "a route names no task type that was published"]
    assert [(line["route"], line["meant"]) for line in told] == [("feeds.imprt", "feeds.import")]

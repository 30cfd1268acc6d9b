"""The rows of dead letters tell what the tasks tell: how many, of what, since when, and the newest."""

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from pointsman_service.reconcile.dead_letters import DeadLettersSweep
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.record.error_rollup import ErrorRollup
from pointsman_service.store.buried import LETTER, counted
from pointsman_service.store.tasks import dead_letters, setting_right
from pointsman_service.store.tasks.dead_letters import DeadLetterFilter, groups_of, groups_of_tasks
from tests.integration.operate.ended import ended
from tests.integration.reconcile.test_retention import DAYS, failed, make_day, old_id
from tests.integration.record.test_error_groups import fail
from tests.integration.spine import Spine

SEED = int(os.environ.get("POINTSMAN_TEST_SEED", random.randrange(10**9)))
FILTERS = int(os.environ.get("POINTSMAN_TEST_ROUNDS", 40))
NOW = datetime.now(UTC)
EVERYTHING = DeadLetterFilter()
KIND = "task_type, error_type, queue"
OF_HOURS = (
    f"SELECT {KIND}, date_trunc('day', hour, 'UTC') AS day, sum(tasks)::bigint AS tasks FROM dead_letter_count"
    f" WHERE hour > '-infinity' GROUP BY {KIND}, 4 HAVING sum(tasks) <> 0"
)
OF_DAYS = f"SELECT {KIND}, day, tasks FROM dead_letter_day WHERE tasks <> 0"
AGAIN = f"""
    WITH again AS (
        DELETE FROM dead_letter WHERE task_id IN (SELECT task_id FROM dead_letter ORDER BY random() LIMIT 5)
        RETURNING {LETTER}
    ), replayed AS (INSERT INTO replayed_task (task_id, replayed_as) SELECT task_id, task_id FROM again)
    {counted("again", taken=True)}
"""


async def look(spine: Spine) -> bool:
    """Look at all failed tasks once; whether the dead letters are complete then."""
    sweep = DeadLettersSweep(spine.store, spine.settings)
    while await sweep.single_pass():
        pass
    async with spine.store.statement() as connection:
        return await setting_right.is_complete(connection)


async def told(spine: Spine, wanted: DeadLetterFilter = EVERYTHING) -> list[dict[str, Any]]:
    """The groups by rows, which are those by tasks."""
    found = []
    async with spine.store.statement() as connection:
        for statement, parameters in (groups_of(wanted), groups_of_tasks(wanted)):
            rows = (await connection.execute(statement, parameters | {"most": 100})).mappings()
            found.append(
                sorted((dict(row) for row in rows), key=lambda row: (row["task_type"], row["error_type"] or ""))
            )
    assert found[0] == found[1], (SEED, wanted)
    return found[0]


def some_filter(chance: random.Random) -> DeadLetterFilter:
    after, before = (chance.choice([None, None, NOW - timedelta(minutes=chance.uniform(-10, 5000))]) for _ in range(2))
    return DeadLetterFilter(
        task_type=chance.choice([None, "noop", "other"]),
        error_type=chance.choice([None, None, "OSError"]),
        queue=chance.choice([None, None, "email"]),
        failed_after=after,
        failed_before=before,
    )


async def test_rows_and_tasks_tell_the_same_whatever_is_asked(spine: Spine) -> None:
    chance = random.Random(SEED)
    for _ in range(60):
        await ended(
            spine,
            task_type=chance.choice(["noop", "other"]),
            error_type=chance.choice(["OSError", "ValueError", None]),
            queue=chance.choice(["maintenance", "email"]),
            finished_at=NOW - timedelta(minutes=chance.choice([chance.uniform(0, 90), chance.uniform(0, 4500)])),
        )
    # Nothing fails before it was submitted.
    await spine.run("""
        UPDATE task SET id = CAST(lpad(to_hex((extract(epoch FROM least(finished_at, now())) * 1000)::bigint), 12, '0')
            || right(replace(id::text, '-', ''), 20) AS uuid)
    """)
    assert not await look(spine)
    assert await look(spine)
    rollup = ErrorRollup(spine.store, spine.settings)
    for folds in (False, True, True):
        if folds:
            await rollup.single_pass()
            assert await spine.rows("SELECT id FROM dead_letter_delta") == []
            # Some are run again: their hours and days are changed, and no row of them is made.
            await spine.run(AGAIN)
            assert await spine.rows("SELECT id FROM dead_letter_delta LIMIT 1") != []
        for _ in range(FILTERS // 4):
            await told(spine, some_filter(chance))
        await rollup.single_pass()
        assert await spine.rows(f"({OF_HOURS} EXCEPT {OF_DAYS}) UNION ALL ({OF_DAYS} EXCEPT {OF_HOURS})") == []


async def test_what_fails_and_is_run_again_is_told_at_once(spine: Spine, api: httpx.AsyncClient) -> None:
    await look(spine)
    assert await look(spine)
    failed = [await fail(spine, kind=kind) for kind in ("KeyError", "KeyError", "OSError")]
    await spine.record_all()
    assert [(group["error_type"], group["tasks"]) for group in await told(spine)] == [("KeyError", 2), ("OSError", 1)]
    where = "/v1/dead-letters"
    (listed, _) = (await api.get(where)).json()["items"]
    assert (listed["count"], listed["example_task_id"], listed["queues"]) == (2, failed[1], ["maintenance"])
    replayed = (await api.post(f"{where}/replay", json={"error_type": "KeyError", "limit": 1})).json()
    assert [(group["error_type"], group["tasks"]) for group in await told(spine)] == [("KeyError", 1), ("OSError", 1)]
    await ErrorRollup(spine.store, spine.settings).single_pass()
    await api.post(f"{where}/replays/{replayed['replay_id']}/undo", json={})
    assert [(group["error_type"], group["tasks"]) for group in await told(spine)] == [("KeyError", 2), ("OSError", 1)]
    await api.post(f"/v1/tasks/{failed[2]}/retry", json={})
    assert [(group["error_type"], group["tasks"]) for group in await told(spine)] == [("KeyError", 2)]
    assert (await api.get(where, params={"error_type": "OSError"})).json()["items"] == []


async def test_what_is_gone_by_age_is_told_no_more(spine: Spine) -> None:
    await make_day(spine)
    for number, days_ago in ((1, DAYS - 1), (2, 1)):
        await failed(spine, old_id(number), days_ago)
    kept = await ended(spine)
    await ended(spine, finished_at=NOW - timedelta(days=DAYS), error_type="OSError")
    # As they are when they have aged.
    await spine.run("TRUNCATE dead_letter, dead_letter_delta, dead_letter_count")
    await look(spine)
    assert await look(spine)
    assert [(group["error_type"], group["tasks"]) for group in await told(spine)] == [
        ("E", 2), ("OSError", 1), ("ValueError", 1),
    ]  # fmt: skip
    await spine.run(
        "WITH moved AS (DELETE FROM task WHERE error_type = 'OSError' RETURNING *) INSERT INTO task_default"
        " SELECT * FROM moved"
    )
    while await RetentionSweep(spine.store, spine.settings).single_pass():
        pass
    # One of the day that was dropped had ended later, and is kept.
    assert [(str(group["example_id"]), group["tasks"]) for group in await told(spine)] == [(old_id(2), 1), (kept, 1)]


async def test_what_others_left_out_is_put_right(spine: Spine) -> None:
    """A process of the release before writes no row for what fails, and takes none away for what is run again."""
    again = await ended(spine)
    await look(spine)
    assert await look(spine)
    await ended(spine, error_type="OSError")
    await spine.run("INSERT INTO replayed_task (task_id, replayed_as) VALUES (:id, :id)", id=again)
    await spine.run("UPDATE dead_letter_walk SET ended_at = now() - interval '1 hour'")
    await look(spine)
    (group,) = await told(spine)
    assert (group["error_type"], group["tasks"]) == ("OSError", 1)


async def test_the_tasks_are_asked_until_there_is_a_row_for_each(spine: Spine) -> None:
    await ended(spine)
    async with spine.store.statement() as connection:
        (group,) = await dead_letters.groups(connection, EVERYTHING, 10)
    assert group["tasks"] == 1

"""Finished tasks that leave by age."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from pointsman_contract.queues import list_key
from pointsman_service.reconcile.retention import RetentionSweep
from pointsman_service.record.rollup import Rollup
from pointsman_service.store.metrics import counters, summing
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.upkeep.partitions import lowest_id, partition_name
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)
DAYS = 40
OLD = datetime.now(UTC).replace(hour=12) - timedelta(days=DAYS)


def old_id(number: int = 1) -> str:
    """Of a task submitted forty days ago."""
    return str(UUID(int=lowest_id(OLD).int + number))


async def make_day(spine: Spine) -> str:
    """The partition of that day, as it was made then."""
    name = partition_name(OLD.date())
    start = datetime(OLD.year, OLD.month, OLD.day, tzinfo=UTC)
    low, high = lowest_id(start), lowest_id(start + timedelta(days=1))
    await spine.run(f"CREATE TABLE {name} PARTITION OF task FOR VALUES FROM ('{low}') TO ('{high}')")
    return name


async def failed(spine: Spine, task_id: str, days_ago: float) -> None:
    """A task that ended so long ago, with one failed attempt."""
    await spine.commits.join(new_task(id=task_id))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    error = {"type": "E", "message": "", "traceback": ""}
    await spine.report(message, await spine.gate(message), "failed", error=error)
    await spine.record_all()
    ended = "now() - CAST(:days AS float8) * interval '1 day'"
    await spine.run(f"UPDATE task SET finished_at = {ended} WHERE id = CAST(:id AS uuid)", days=days_ago, id=task_id)


async def left(spine: Spine) -> dict[str, list[str]]:
    """The tasks and attempts that are there."""
    found: dict[str, list[str]] = {}
    for table, column in (("task", "id"), ("task_attempt", "task_id")):
        rows = await spine.rows(f"SELECT {column}::text AS id FROM {table} ORDER BY {column}")
        found[table] = [row["id"] for row in rows]
    return found


async def partitions(spine: Spine) -> list[str]:
    rows = await spine.rows("SELECT inhrelid::regclass::text AS n FROM pg_inherits WHERE inhparent = 'task'::regclass")
    return [row["n"] for row in rows]


MAIN = ("task_metrics", "task_metrics_hour", "task_metrics_day")
BY_NAME = ("task_metrics_by_minute", "task_metrics_by_hour", "task_metrics_by_day")


async def count(spine: Spine, at: datetime) -> None:
    """One submission with one run, folded."""
    tallies = Tallies()
    tally = tallies.of("t", "email", at, "somebody")
    tally.counts["submitted"] += 1
    tally.ran(1.05)
    async with spine.store.transaction() as connection:
        await counters.add(connection, tallies)
    while await Rollup(spine.store, spine.settings).single_pass():
        pass


async def rows_of(spine: Spine, table: str) -> int:
    (row,) = await spine.rows(f"SELECT count(*) AS n FROM {table}")
    found: int = row["n"]
    return found


@pytest.fixture
def sweep(spine: Spine) -> RetentionSweep:
    return RetentionSweep(spine.store, spine.settings)


async def test_an_old_day_goes_with_its_attempts_and_the_counters_stay(spine: Spine, sweep: RetentionSweep) -> None:
    day = await make_day(spine)
    await failed(spine, old_id(), DAYS)
    young = new_task().id
    await failed(spine, young, 0)
    counted = await spine.counters()
    while await sweep.single_pass():
        pass
    assert await left(spine) == {"task": [young], "task_attempt": [young]}
    assert day not in await partitions(spine)
    assert await spine.counters() == counted


async def test_a_task_submitted_long_ago_that_ended_lately_is_kept(spine: Spine, sweep: RetentionSweep) -> None:
    day = await make_day(spine)
    await failed(spine, old_id(1), DAYS)
    await failed(spine, old_id(2), 1)
    while await sweep.single_pass():
        pass
    assert await left(spine) == {"task": [old_id(2)], "task_attempt": [old_id(2)]}
    assert day not in await partitions(spine)
    await spine.run("UPDATE task SET finished_at = now() - interval '31 days'")
    await sweep.single_pass()
    assert (await left(spine))["task"] == []


async def test_the_attempts_of_a_task_that_still_lives_are_kept(spine: Spine, sweep: RetentionSweep) -> None:
    await spine.commits.join(new_task(id=old_id(), max_attempts=4))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    error = {"type": "E", "message": "", "traceback": ""}
    await spine.report(message, await spine.gate(message), "failed", error=error, retry_in_seconds=60.0)
    await spine.record_all()
    await sweep.single_pass()
    assert await left(spine) == {"task": [], "task_attempt": [old_id()]}


async def test_a_late_outcome_of_a_day_that_is_being_dropped_is_recorded_once(
    spine: Spine, sweep: RetentionSweep
) -> None:
    await make_day(spine)
    await failed(spine, old_id(1), DAYS)
    await spine.commits.join(new_task(id=old_id(2)))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    await spine.report(message, await spine.gate(message))
    await asyncio.gather(sweep.single_pass(), spine.record_all())
    while await sweep.single_pass():
        pass
    rows = await spine.rows("SELECT id::text, state FROM task")
    assert rows == [{"id": old_id(2), "state": "succeeded"}]
    assert await spine.rows("SELECT id FROM task_live") == []


async def test_an_outcome_of_a_task_that_was_removed_changes_nothing(spine: Spine, sweep: RetentionSweep) -> None:
    await spine.commits.join(new_task(id=old_id()))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message)
    await spine.report(message, verdict)
    await spine.record_all()
    await spine.run("UPDATE task SET finished_at = now() - interval '31 days'")
    await sweep.single_pass()
    counted = await spine.counters()
    await spine.report(message, verdict)
    await spine.record_all()
    assert await left(spine) == {"task": [], "task_attempt": []}
    assert await spine.counters() == counted


async def test_a_day_that_somebody_reads_is_dropped_later_and_holds_nobody_up(
    spine: Spine, sweep: RetentionSweep
) -> None:
    day = await make_day(spine)
    async with spine.store.transaction() as reader:
        await reader.execute(text("SELECT count(*) FROM task"))
        await asyncio.wait_for(sweep.single_pass(), 5)
        assert day in await partitions(spine)
    while await sweep.single_pass():
        pass
    assert day not in await partitions(spine)


async def test_two_sweeps_drop_a_day_once(spine: Spine) -> None:
    day = await make_day(spine)
    await failed(spine, old_id(), 1)
    sweeps = [RetentionSweep(spine.store, spine.settings) for _ in range(3)]
    await asyncio.gather(*(sweep.single_pass() for sweep in sweeps))
    assert day not in await partitions(spine)
    assert (await left(spine))["task"] == [old_id()]


async def test_old_minutes_leave_hours_and_days_and_no_sum_changes(spine: Spine, sweep: RetentionSweep) -> None:
    for days in (500, 40, 1):
        await count(spine, datetime.now(UTC) - timedelta(days=days))
    await spine.run("UPDATE task_metrics_kept SET days_since = '1970-01-01', began_at = now() - interval '2 hours'")
    for _ in range(2):
        await sweep.single_pass()
    assert {table: await rows_of(spine, table) for table in (*MAIN, *BY_NAME)} == {
        "task_metrics": 1, "task_metrics_hour": 2, "task_metrics_day": 3,
        "task_metrics_by_minute": 1, "task_metrics_by_hour": 2, "task_metrics_by_day": 3,
    }  # fmt: skip
    async with spine.store.statement() as connection:
        (everything,) = await summing.everything(connection)
        found = [await summing.over_window(connection, "queue", days * 86_400) for days in (2, 41, 501)]
    assert (everything.counts["submitted"], everything.run) == (3, {1: 3})
    assert [(one.reach.resolution, one.sums[0].counts["submitted"]) for one in found] == [
        ("minute", 1),
        ("hour", 2),
        ("day", 3),
    ]


async def test_days_that_leave_are_added_to_what_is_told_of_everything(spine: Spine) -> None:
    for days in (900, 800, 700, 1):
        await count(spine, datetime.now(UTC) - timedelta(days=days))
    await spine.run("UPDATE task_metrics_kept SET began_at = now() - interval '2 hours'")
    settings = spine.settings.model_copy(update={"metrics_hour_days": 100, "metrics_day_days": 750})
    for _ in range(2):
        await RetentionSweep(spine.store, settings).single_pass()
    await count(spine, datetime.now(UTC) - timedelta(days=901))
    async with spine.store.statement() as connection:
        (everything,) = await summing.everything(connection)
        told = await summing.over_window(connection, "queue", 1000 * 86_400)
    assert (everything.counts["submitted"], everything.run) == (5, {1: 5})
    assert told.sums[0].counts["submitted"] == 2
    assert told.reach.begins >= datetime.now(UTC) - timedelta(days=751), "it says that it knows no earlier day"
    assert await rows_of(spine, "task_metrics_day") == 3


async def test_minutes_stay_while_the_release_before_may_read_them(spine: Spine, sweep: RetentionSweep) -> None:
    await count(spine, datetime.now(UTC) - timedelta(days=40))
    for _ in range(2):
        await sweep.single_pass()
    assert await rows_of(spine, "task_metrics") == 1


async def test_old_plain_runs_go(spine: Spine, sweep: RetentionSweep) -> None:
    for age in ("31 days", "1 day"):
        await spine.run(f"""
            INSERT INTO native_run (task_id, task_type, queue, worker, state, run_seconds, finished_at)
            VALUES ('{age}', 't', 'q', 'w', 'SUCCESS', 1, now() - interval '{age}')
        """)
    await sweep.single_pass()
    assert await spine.rows("SELECT task_id FROM native_run") == [{"task_id": "1 day"}]


async def test_replays_go_with_the_tasks_they_ran_again(spine: Spine, sweep: RetentionSweep) -> None:
    kept, gone = new_task().id, old_id()
    await failed(spine, kept, 0)
    for number, (task, age) in enumerate([(kept, "1 day"), (gone, "40 days")]):
        replay = f"00000000-0000-0000-0000-00000000000{number}"
        await spine.run(f"""
            INSERT INTO replay (id, requested_at, caller, wanted, matched, tasks)
            VALUES ('{replay}', now() - interval '{age}', 'c', '{{}}', 1, 1)
        """)
        await spine.run(f"""
            INSERT INTO replayed_task (task_id, replayed_as, replay_id, replayed_at)
            VALUES ('{task}', '{new_task().id}', '{replay}', now() - interval '{age}')
        """)
        await spine.run(f"INSERT INTO cancelled_task (act_id, task_id) VALUES ('{task}', '{task}')")
    await sweep.single_pass()
    assert await spine.rows("SELECT task_id::text FROM replayed_task") == [{"task_id": kept}]
    assert await spine.rows("SELECT requested_at < now() - interval '2 days' AS old FROM replay") == [{"old": False}]
    assert await spine.rows("SELECT task_id::text FROM cancelled_task") == [{"task_id": kept}]


async def test_old_transitions_of_circuit_breakers_go(spine: Spine, sweep: RetentionSweep) -> None:
    for age in ("31 days", "1 day"):
        await spine.run(f"""
            INSERT INTO breaker_transition (scope, name, at, epoch, before, after, reason, actor)
            VALUES ('dependency', '{age}', now() - interval '{age}', 1, 'closed', 'open', 'r', 'breaker')
        """)
    await sweep.single_pass()
    assert await spine.rows("SELECT name FROM breaker_transition") == [{"name": "1 day"}]


async def test_old_entries_of_acts_go(spine: Spine, sweep: RetentionSweep) -> None:
    for age in ("400 days", "300 days"):
        await spine.run(f"""
            INSERT INTO audit (at, act, subject, actor, caller)
            VALUES (now() - interval '{age}', 'pause_queue', '{age}', 'ada', 'local')
        """)
    await sweep.single_pass()
    assert await spine.rows("SELECT subject FROM audit") == [{"subject": "300 days"}]


async def test_old_alerts_go_with_their_messages_and_silences(spine: Spine, sweep: RetentionSweep) -> None:
    for number, (days, resolved) in enumerate([(31, True), (31, False), (1, True)]):
        made = datetime.now(UTC) - timedelta(days=days)
        name, alert = f"{days} {resolved}", UUID(int=lowest_id(made).int + number)
        await spine.run(
            "INSERT INTO alert (id, key, rule, subject, severity, summary, unit, link, since, opened_at, resolved_at)"
            " VALUES (CAST(:id AS uuid), :name, 'r', '', 'page', '', '', '', :made, :made,"
            " CASE WHEN :resolved THEN CAST(:made AS timestamptz) END)",
            id=str(alert),
            name=name,
            made=made,
            resolved=resolved,
        )
        await spine.run(
            "INSERT INTO alert_delivery (id, alert_id, event, channel, message, status) VALUES"
            " (CAST(:id AS uuid), CAST(:id AS uuid), 'opened', :name, '{}', :status)",
            id=str(alert),
            name=name,
            status="sent" if resolved else "pending",
        )
        await spine.run(
            "INSERT INTO alert_silence (id, matcher, until, actor, reason)"
            " VALUES (CAST(:id AS uuid), :name, :made, 'a', 'r')",
            id=str(alert),
            name=name,
            made=made,
        )
    await sweep.single_pass()
    left = [row["key"] for row in await spine.rows("SELECT key FROM alert ORDER BY id")]
    told = [row["channel"] for row in await spine.rows("SELECT channel FROM alert_delivery ORDER BY id")]
    silences = [row["matcher"] for row in await spine.rows("SELECT matcher FROM alert_silence")]
    assert left == ["31 False", "1 True"]
    assert told == ["31 False", "1 True"], "what is to be sent stays"
    assert silences == ["1 True"]


async def test_what_runs_wrote_leaves_after_its_own_time_and_with_its_task_at_the_latest(spine: Spine) -> None:
    async def write(days_ago: float) -> None:
        await spine.run(
            "INSERT INTO run_log (task_id, attempt, run, first_line, line_count, is_last, written_at, lines) VALUES"
            " (gen_random_uuid(), 1, 'a', 1, 0, true, now() - CAST(:days AS float8) * interval '1 day', '[]')",
            days=days_ago,
        )

    async def days_ago() -> list[int]:
        rows = await spine.rows("SELECT extract(day FROM now() - written_at)::int AS days FROM run_log ORDER BY id")
        return [row["days"] for row in rows]

    for days in (31, 29, 8, 6):
        await write(days)
    await RetentionSweep(spine.store, spine.settings.model_copy(update={"run_log_days": 100.0})).single_pass()
    assert await days_ago() == [29, 8, 6]
    await RetentionSweep(spine.store, spine.settings.model_copy(update={"run_log_days": 7.0})).single_pass()
    assert await days_ago() == [6]

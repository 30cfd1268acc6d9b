"""What is remembered of TaskMetrics is told only as long as it is so."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from pointsman_service.store.metrics import counters, remembering
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.metrics.folding import fold
from pointsman_service.store.metrics.reach import DAY, HOUR, floor
from pointsman_service.store.metrics.remembering import Remembered
from pointsman_service.store.metrics.summing import GroupBy
from pointsman_service.store.store import Store

NOW = datetime.now(UTC)
LONG_AGO = floor(NOW, DAY) - 3 * DAY + 5 * HOUR
WINDOW = 10 * 86_400.0


async def succeeded(store: Store, at: datetime, *, folded: bool = True, task_type: str = "a") -> None:
    """One task that did so."""
    tallies = Tallies()
    tally = tallies.of(task_type, "email", at, caller="shop")
    tally.counts["succeeded"] += 1
    tally.ran(0.2)
    async with store.transaction() as connection:
        await counters.add(connection, tallies)
        if folded:
            await fold(connection, 1000)


async def told(store: Store, remembered: Remembered, group_by: GroupBy = "task_type") -> dict[str | None, int]:
    async with store.statement() as connection:
        found = await remembered.over_window(connection, group_by, WINDOW)
    assert all(sum(one.run.values()) == one.counts["succeeded"] for one in found.sums)
    return {one.task_type or one.name: int(one.counts["succeeded"]) for one in found.sums}


async def test_whatever_changes_in_the_past_is_told_at_once(store: Store) -> None:
    remembered = Remembered()
    assert await told(store, remembered) == {}
    for number, at in enumerate((LONG_AGO, LONG_AGO, LONG_AGO - 4 * DAY, NOW), 1):
        await succeeded(store, at)
        assert await told(store, remembered) == await told(store, remembered) == {"a": number}
        assert await told(store, remembered, "caller") == {"shop": number}
    await succeeded(store, LONG_AGO, folded=False, task_type="b")
    assert await told(store, remembered) == {"a": 4, "b": 1}
    async with store.transaction() as connection:
        await fold(connection, 1000)
    assert await told(store, remembered) == {"a": 4, "b": 1}
    async with store.transaction() as connection:
        for table in ("task_metrics", "task_metrics_hour", "task_metrics_day"):
            await connection.execute(text(f"DELETE FROM {table} WHERE task_type = 'a'"))
    assert await told(store, remembered) == {"b": 1}


async def test_who_asks_while_another_forgets_is_told_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        await succeeded(store, LONG_AGO - number * DAY, task_type=f"t{number}")
    remembered = Remembered()
    whole = await told(store, remembered)
    # Enough for one part, and not for the next.
    monkeypatch.setattr(remembering, "_MOST_NUMBERS", 3 * len(counters.COUNTERS))
    for _ in range(5):
        groups: list[GroupBy] = ["task_type", "none", "task_type", "both", "task_type", "caller"]
        answers = await asyncio.gather(*(told(store, remembered, group_by) for group_by in groups))
        assert [one for one, group_by in zip(answers, groups, strict=True) if group_by == "task_type"] == [whole] * 3


async def test_what_is_known_is_not_added_up_again(store: Store) -> None:
    await succeeded(store, LONG_AGO)
    sql = remembering.statement("task_type", (("days", "day"),))
    given = {"window_since": LONG_AGO - DAY, "window_before": NOW, "days_since": LONG_AGO - DAY, "days_before": NOW}
    async with store.statement() as connection:
        (first,) = (await connection.execute(sql, given | {"days_known": None})).all()
        (again,) = (await connection.execute(sql, given | {"days_known": first.versions[0]})).all()
        await connection.execute(text("UPDATE task_metrics_day SET failed = failed + 1"))
        (changed,) = (await connection.execute(sql, given | {"days_known": first.versions[0]})).all()
    assert (first.part, first.succeeded) == ("days", 1)
    assert (again.part, again.succeeded, again.versions) == (None, None, first.versions)
    assert (changed.part, changed.failed) == ("days", 1)


async def test_a_window_that_ends_long_ago_is_told_too(store: Store) -> None:
    await succeeded(store, LONG_AGO)
    remembered = Remembered()
    async with store.statement() as connection:
        for until, expected in ((LONG_AGO + timedelta(minutes=1), 1), (LONG_AGO - timedelta(minutes=1), 0)):
            found = await remembered.over_window(connection, "none", 3600.0, until)
            assert sum(int(one.counts["succeeded"]) for one in found.sums) == expected

"""Samples of steps that are over are added up once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_service.observe.history import History, HistoryWatch
from pointsman_service.store.metrics import history
from tests.integration.read.test_history import sampled
from tests.integration.spine import Spine

_NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_EVERY = tuple((minute, float(minute % 7)) for minute in range(0, 180, 2))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[datetime, datetime]]:
    """From where to where samples were read."""
    found: list[tuple[datetime, datetime]] = []
    plain = history.read

    async def noted(connection: Any, of: Any, step: int, since: datetime, until: datetime, name: Any = None) -> Any:
        found.append((since, until))
        return await plain(connection, of, step, since, until, name)

    monkeypatch.setattr(history, "read", noted)
    return found


def told(found: History) -> Any:
    return {name: [(one.at, one.samples, one.figures) for one in points] for name, points in found.points.items()}


async def test_steps_that_are_over_are_read_once_and_told_the_same(
    spine: Spine, asked: list[tuple[datetime, datetime]]
) -> None:
    await sampled(spine, "queue", "email", "depth", *_EVERY)
    await sampled(spine, "queue", "old", "depth", (3, 1.0))
    watch, until = HistoryWatch(spine.store), _NOON + timedelta(hours=3)
    first = await watch.read("queue", ["email", "critical"], 3 * 3600, 900, until)
    again = await watch.read("queue", ["email", "critical"], 3 * 3600, 900, until)
    fresh = await HistoryWatch(spine.store).read("queue", ["email", "critical"], 3 * 3600, 900, until)
    assert told(first) == told(again) == told(fresh)
    assert list(again.points) == ["email", "critical", "old"]
    # Three quarters of an hour before the newest sample are read again, and what is at their edge.
    assert [since for since, _ in asked] == [_NOON, _NOON + timedelta(hours=2), _NOON]
    # A later window knows what this one has added up, a question of one queue does not.
    later = await watch.read("queue", ["email"], 3600, 900, _NOON + timedelta(hours=1))
    one = await watch.read("queue", ["email"], 3600, 900, _NOON + timedelta(hours=1), name="email")
    assert later.points["email"] == one.points["email"]
    assert len(asked) == 4


async def test_samples_that_come_late_are_told(spine: Spine, asked: list[tuple[datetime, datetime]]) -> None:
    await sampled(spine, "queue", "email", "depth", (0, 4.0), (60, 4.0))
    watch, until = HistoryWatch(spine.store), _NOON + timedelta(minutes=61)
    before = await watch.read("queue", ["email"], 3600, 300, until)
    # Half an hour of them could not be written, and then could.
    await sampled(spine, "queue", "email", "depth", *((minute, 9.0) for minute in range(31, 61)))
    after = await watch.read("queue", ["email"], 3600, 300, until)
    assert told(after) == told(await HistoryWatch(spine.store).read("queue", ["email"], 3600, 300, until))
    assert told(after) != told(before)
    assert len(asked) == 3

"""What a page of tasks tells of how many there are."""

from datetime import UTC, datetime
from uuid import UUID

from pointsman_service.observe.tasks.lists import Counted, Position, TaskPage

BEHIND = Position(UUID(int=7))
MOMENT = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


def test_the_last_page_has_them_all() -> None:
    assert TaskPage([], None, None).counted == Counted(0, True, None)


def test_a_page_whose_time_was_over_has_those_since_then() -> None:
    assert TaskPage([], BEHIND, MOMENT).counted == Counted(0, False, MOMENT)


def test_a_full_page_says_nothing_of_how_many_follow() -> None:
    assert TaskPage([], BEHIND, None).counted is None

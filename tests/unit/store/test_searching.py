"""A page of a list keeps to its time however fast rows can be looked at, and gets on."""

import pytest

from pointsman_service.store.tasks.by_finish import ByFinish
from pointsman_service.store.tasks.listing import LOOK_SECONDS
from pointsman_service.store.tasks.reading import TaskFilter
from pointsman_service.store.tasks.searching import FIRST_LOOKS, SHARE, Search

_ROUND_TRIP_SECONDS = 0.001


def page(rows_a_second: float, slower: float = 1.0, seconds: float = LOOK_SECONDS) -> tuple[float, int, Search]:
    """How long a page looks, at how many rows, when every look is ``slower`` than the one before."""
    search = ByFinish(TaskFilter(error_message="none"), 50, None)
    search.has_looked = True
    spent = 0.0
    looks = FIRST_LOOKS
    while True:
        took = looks / rows_a_second + _ROUND_TRIP_SECONDS
        search.took(looks, took)
        spent += took
        rows_a_second /= slower
        if search.is_late(seconds - spent):
            return spent, search.looked, search
        looks = search.looks_for(seconds - spent)


@pytest.mark.parametrize("rows_a_second", [110_000.0, 200_000.0, 500_000.0, 2_000_000.0])
@pytest.mark.parametrize("slower", [1.0, 1.3])
def test_page_ends_in_its_time_and_uses_it(rows_a_second: float, slower: float) -> None:
    spent, looked, _ = page(rows_a_second, slower)

    assert spent < 1.1 * LOOK_SECONDS
    assert looked >= SHARE
    assert spent > 0.6 * LOOK_SECONDS


def test_page_of_a_slow_machine_looks_at_its_share_and_no_more() -> None:
    _, looked, _ = page(10_000.0)
    assert looked == SHARE
    _, looked, _ = page(1_000_000.0, seconds=0.0)
    assert looked == SHARE


def test_a_page_that_is_nearly_full_looks_at_no_more_than_fills_it() -> None:
    _, _, search = page(1_000_000.0, seconds=0.0)
    search.looked = 400
    # 51 are wanted, one with the next page's first.
    assert search.looks_for(1.0) == 40_000
    assert search.looks_for(1.0, found=47) == FIRST_LOOKS
    assert search.looks_for(1.0, found=10) == 2 * 41 * 40


@pytest.mark.parametrize(("hits", "is_rare"), [(0, True), (10, True), (11, False), (400, False)])
def test_of_rare_ones_few_were_seen_among_many(hits: int, is_rare: bool) -> None:
    assert Search.is_rare(hits, 400) is is_rare


def test_no_look_is_longer_than_a_statement_may_be() -> None:
    _, _, search = page(50_000_000.0, seconds=10.0)
    assert search.looks_for(1_000.0) == 40_000

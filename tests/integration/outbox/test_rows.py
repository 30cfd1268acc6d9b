"""One set of cases for every database and both ways to it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

from django.db import connections

from pointsman_client.outbox.rows import RETRIED, DatabaseAway, Fate, Row, Rows, RowState, Values, values_of
from tests.integration.outbox.conftest import Desk

NOW = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
LEASE = timedelta(seconds=90)


def claimed(rows: Rows, token: str, most: int, now: datetime = NOW) -> list[Row]:
    return rows.claim(token, most, now, now + LEASE)


def after(row: Row, state: RowState, **more: object) -> dict[int, Values]:
    """The columns of a row that was claimed at ``NOW``."""
    return {row.id: values_of(Fate(row, state, **more), NOW, NOW, 60.0)}  # type: ignore[arg-type]  # by name


def test_rows_are_taken_in_order_and_each_once_until_the_lease_is_over(desk: Desk) -> None:
    desk.rolled_back()
    keys = desk.submit(3)
    rows = desk.opened()
    first, second = claimed(rows, "a", 2), claimed(rows, "b", 2)
    assert [row.key for row in first + second] == keys
    assert claimed(rows, "c", 2) == []
    later = claimed(rows, "c", 3, NOW + LEASE)
    assert [row.key for row in later] == keys
    assert {row.doubtful_since for row in first + second} == {None}
    assert {row.doubtful_since for row in later} == {NOW}
    assert [row.text for row in later] == [row.text for row in first + second]


def test_what_became_of_rows_is_written_by_who_has_them(desk: Desk) -> None:
    desk.submit(5)
    rows = desk.opened()
    sent, refused, put_off, doubtful, gone = claimed(rows, "a", 5)
    changed = (
        after(sent, RowState.SENT, task_id="t-1")
        | after(refused, RowState.REFUSED, problem='{"detail": "no"}')
        | after(put_off, RowState.WAITING, rest_seconds=30.0)
        | after(doubtful, RowState.WAITING, is_doubtful=True)
    )
    rows.settle("b", changed, [gone.id])
    assert {row["claim"] for row in desk.seen()} == {"a"}
    rows.settle("a", changed, [gone.id])
    assert [(row["state"], row["task_id"], row["tries"]) for row in desk.seen()] == [
        ("sent", "t-1", 1), ("refused", None, 1), ("waiting", None, 1), ("waiting", None, 0)
    ]  # fmt: skip
    (again,) = claimed(rows, "c", 5)
    assert (again.key, again.doubtful_since) == (doubtful.key, NOW)
    assert [row.id for row in claimed(rows, "c", 5, NOW + timedelta(seconds=31))] == [put_off.id]
    (listed,) = rows.refused(10)
    assert (listed.key, listed.problem) == (refused.key, {"detail": "no"})
    assert (rows.sweep(NOW, 10), rows.sweep(NOW + timedelta(seconds=61), 10)) == (0, 1)
    assert (rows.retry([sent.id]), rows.retry([refused.id]), rows.drop(None)) == (0, 1, 0)
    (retried,) = claimed(rows, "d", 5, NOW + timedelta(seconds=32))
    assert (retried.key, retried.tries) == (refused.key, 0)
    assert set(RETRIED) < set(desk.seen()[0])


def test_rows_that_are_tried_again_take_half_of_the_room_from_new_ones(desk: Desk) -> None:
    desk.submit(4)
    rows = desk.opened()
    old = claimed(rows, "a", 4)
    for row in old:
        rows.settle("a", after(row, RowState.WAITING, rest_seconds=1.0), [])
    desk.submit(4)
    due = NOW + timedelta(seconds=2)
    assert [row.id - old[0].id for row in claimed(rows, "b", 4, due)] == [0, 1, 4, 5]
    assert [row.id - old[0].id for row in claimed(rows, "c", 8, due)] == [2, 3, 6, 7]


def test_a_row_is_found_by_its_very_key_and_says_what_was_written(desk: Desk) -> None:
    """A database may take keys that differ in case for the same, and one that was told no alphabet may lose letters."""
    for key in ("Order-17", "order-17", "ORDER-17"):
        desk.written(key, "Überweisung 🍞")
    assert desk.found("order-17") == "order-17"
    assert desk.found("oRDER-17") is None
    (row, *_) = claimed(desk.opened(), "a", 3)
    assert json.loads(row.text)["args"] == ["Überweisung 🍞"]


def test_relays_at_once_share_the_rows_and_none_has_one_of_another(desk: Desk) -> None:
    keys = desk.submit(60)
    together = Barrier(4)

    def take(token: str) -> list[Row]:
        rows, mine = desk.opened(), []
        together.wait(30)
        try:
            while len(found := _until_free(lambda: claimed(rows, token, 7))) > 0:
                mine += found
        finally:
            connections.close_all()
        return mine

    with ThreadPoolExecutor(4) as threads:
        taken = [row.key for found in threads.map(take, "abcd") for row in found]
    left = [row.key for row in claimed(desk.opened(), "e", 100)]
    assert sorted(taken + left) == sorted(keys)


def _until_free(claim: Callable[[], list[Row]]) -> list[Row]:
    """SQLite lets one write, and tells others that it is locked when that takes long."""
    for _ in range(20):
        try:
            return claim()
        except DatabaseAway:
            continue
    raise AssertionError("it is always locked")

"""What a terminal makes of what an API answers, and of what it does not."""

import time

import pytest

from pointsman_client.top.page.frame import banner
from pointsman_client.top.seen import NOW, STALE_SECONDS
from pointsman_client.top.targets import WORKERS, TaskFilter
from pointsman_client.top.watching import Reader, Watcher, backoff_seconds
from pointsman_client.transport import Transport
from tests.stand.waiting import until_now
from tests.unit.client import pages
from tests.unit.client.served import served


def test_failures_in_a_row_are_waited_for_longer_each_time_and_eight_seconds_at_most() -> None:
    assert [backoff_seconds(failures, 0.0) for failures in (1, 2, 3, 4, 5, 6, 100_000)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert backoff_seconds(100, 1.0) < 10


def test_one_pass_reads_the_first_page_and_what_is_shown() -> None:
    with served() as api, Transport(api.place) as transport:
        api.answer(NOW, pages.healthy())
        api.answer(WORKERS, pages.workers())
        reader = Reader(transport)
        seconds = reader.single_pass((WORKERS, "/v1/queues/none"), streaming=False)
        assert seconds == 1.0
        assert reader.seen.document(NOW) == pages.healthy()
        assert reader.seen.document(WORKERS) == pages.workers()
        assert (reader.seen.document("/v1/queues/none"), reader.seen.fault("/v1/queues/none")) == (
            {},
            "There is no such.",
        )
        assert not reader.seen.is_stale(time.monotonic())
        asked = len(api.asked)
        reader.single_pass((WORKERS,), streaming=True)
        assert len(api.asked) == asked + 1, "what was read a moment ago is not read again"
        reader.read_again()
        reader.single_pass((), streaming=True)
        assert set(reader.seen.answers) == {NOW}, "what nobody looks at is let go"


def test_what_answered_before_is_kept_while_it_fails_and_its_failure_is_told() -> None:
    with served() as api, Transport(api.place) as transport:
        api.answer(NOW, pages.healthy())
        api.answer(WORKERS, pages.workers())
        reader = Reader(transport)
        reader.single_pass((WORKERS,), streaming=False)
        api.answer(WORKERS, {"detail": "PostgreSQL cannot be reached."}, status=503)
        reader.read_again()
        reader.single_pass((WORKERS,), streaming=False)
        assert reader.seen.document(WORKERS) == pages.workers()
        assert reader.seen.fault(WORKERS) == "PostgreSQL cannot be reached."


def test_an_api_that_is_gone_is_said_at_once_and_asked_later_each_time() -> None:
    with served() as api:
        api.answer(NOW, pages.healthy())
        reader = Reader(Transport(api.place))
        reader.single_pass((), streaming=False)
        reader.hang_up()
    waits = [reader.single_pass((), streaming=False) for _ in range(3)]
    assert waits == sorted(waits)
    assert waits[0] < 1 < waits[2]
    mono = time.monotonic()
    assert reader.seen.is_stale(mono)
    assert "connection refused" in banner(reader.seen, mono)
    assert "Tried again in" in banner(reader.seen, mono)
    assert reader.seen.document(NOW) == pages.healthy(), "what was known is kept"


@pytest.mark.parametrize(("status", "after"), [(401, 0.5), (404, 0.5), (503, 0.5)])
def test_an_api_that_refuses_the_first_page_says_why(status: int, after: float) -> None:
    with served() as api, Transport(api.place) as transport:
        api.answer(NOW, {"detail": "No key was given."}, status=status)
        reader = Reader(transport)
        assert reader.single_pass((), streaming=False) >= after
        assert reader.seen.connection.reason == "No key was given."


def test_figures_whose_moment_stands_still_become_old_though_they_are_answered() -> None:
    with served() as api, Transport(api.place) as transport:
        api.answer(NOW, pages.healthy())
        reader = Reader(transport)
        reader.single_pass((), streaming=False)
        first = reader.seen.as_of_since
        reader.single_pass((), streaming=False)
        assert reader.seen.as_of_since == first
        assert not reader.seen.is_stale(first + STALE_SECONDS)
        assert reader.seen.is_stale(first + STALE_SECONDS + 0.1)
        assert "stand still" in banner(reader.seen, first + 9)


def test_a_watcher_says_that_it_lost_the_api_and_that_it_is_back() -> None:
    changes: list[int] = []
    with served() as api:
        api.answer(NOW, pages.healthy())
        watcher = Watcher(api.place, lambda: changes.append(1))
        watcher.start()
        try:
            until_now(lambda: watcher.seen.document(NOW), "the first page")
            api.answer(NOW, {"detail": "away"}, status=503)
            watcher.read_again()
            until_now(lambda: watcher.seen.connection.lost_since, "the loss to be seen")
            api.answer(NOW, pages.incident())
            until_now(lambda: watcher.seen.connection.lost_since is None, "it to be back")
            assert watcher.seen.document(NOW) == pages.incident()
            assert len(changes) >= 3
        finally:
            watcher.stop()


def test_a_filter_of_tasks_is_what_the_api_narrows_by_and_what_lines_must_hold() -> None:
    parsed = TaskFilter.parsed("failed queue:email type:orders.pay tag:tenant=42 Letters other:x")
    assert parsed.parameters == {"state": "failed", "queue": "email", "task_type": "orders.pay", "tag": "tenant:42"}
    assert parsed.words == ("letters", "other:x")

import httpx
import pytest

from pointsman.outbound.answers import LONGEST_RETRY_AFTER_SECONDS, is_expected, may_change, retry_after_seconds

NOON = "Sun, 22 Nov 2026 12:00:00 GMT"


def seconds(draw: float = 0.0, **headers: str) -> float | None:
    return retry_after_seconds(
        httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), lambda: draw
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
def test_status_that_may_change_is_retried(status: int) -> None:
    assert may_change(status)


@pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 401, 403, 404, 409, 410, 422, 501, 505])
def test_status_that_stays_is_permanent(status: int) -> None:
    assert not may_change(status)


def test_without_a_list_any_2xx_is_expected() -> None:
    assert [status for status in (199, 200, 204, 299, 300, 404) if is_expected(status, None)] == [200, 204, 299]
    assert is_expected(404, [404])
    assert not is_expected(200, [404])


def test_seconds_are_obeyed() -> None:
    assert seconds(retry_after="120") == 120
    assert seconds(retry_after="0") == 0


def test_date_counts_from_the_answers_own_date() -> None:
    assert seconds(retry_after="Sun, 22 Nov 2026 12:01:30 GMT", date=NOON) == 90


def test_date_in_the_past_is_now() -> None:
    assert seconds(retry_after="Sun, 22 Nov 2026 11:00:00 GMT", date=NOON) == 0
    assert seconds(retry_after="Fri, 31 Dec 1999 23:59:59 GMT") == 0


@pytest.mark.parametrize("said", ["86400", "9" * 400, "Sun, 22 Nov 2099 12:00:00 GMT"])
def test_very_long_wait_is_capped(said: str) -> None:
    assert seconds(retry_after=said, date=NOON) == LONGEST_RETRY_AFTER_SECONDS


@pytest.mark.parametrize("said", ["", "soon", "-1", "1.5", "١٢", "Mon, 99 Foo 2026"])
def test_what_cannot_be_read_says_nothing(said: str) -> None:
    assert retry_after_seconds(httpx.Headers([(b"retry-after", said.encode())])) is None


def test_callers_are_spread_and_never_early() -> None:
    assert seconds(draw=0.999, retry_after="100") == pytest.approx(109.99)

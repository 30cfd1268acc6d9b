import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pointsman_service.admit.moments import Moment

ADAPTER: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    "value",
    [
        *("2030", "2030.5", "-1", "+2030", "1e9", " 2030", "20300101", "1700000000000", "0", "Infinity"),
        *("2030-01-01", "2030-01-01T00:00:00", "20300101T000000Z", "٢٠٣٠-01-01T00:00:00Z", "12:00Z", "now", ""),
        *(2030, 2030.5, True, None, [], {}),
    ],
)
def test_what_is_no_date_and_time_with_an_offset_is_no_moment(value: Any) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(value)


@given(st.from_regex(re.compile(r"\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*"), fullmatch=True))
def test_text_that_is_a_number_is_never_a_moment(text: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(text)


@pytest.mark.parametrize(
    "text",
    [
        *("2030-01-01T00:00:00Z", "2030-01-01t00:00:00z", "2030-01-01 00:00:00+00:00", "2030-01-01T00:00Z"),
        *("2030-01-01T02:00:00+02:00", "2029-12-31T19:00:00.000-0500"),
    ],
)
def test_one_moment_is_read_however_it_is_written(text: str) -> None:
    assert ADAPTER.validate_python(text) == datetime(2030, 1, 1, tzinfo=UTC)


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_every_moment_that_python_writes_is_read_back(naive: datetime, offset: int) -> None:
    at = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    read = ADAPTER.validate_python(at.isoformat())
    assert (read.replace(tzinfo=None), read.utcoffset()) == (naive, at.utcoffset())

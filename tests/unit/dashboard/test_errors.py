"""What the page of errors says of a group, without a server."""

from datetime import UTC, datetime

import pytest

from pointsman_service.dashboard.errors.standing import limit_of
from pointsman_service.observe.errors import Ignored

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        (None, ""),
        (Ignored(None, None, None), "until somebody opens it"),
        (
            Ignored(datetime(2026, 11, 29, 9, 30, tzinfo=UTC), 100, 12_000),
            "until 09:30:00 UTC, while it fails 100 times an hour at most, for 12,000 more failures",
        ),
    ],
)
def test_it_is_said_what_ends_that_an_error_is_ignored(ignored: Ignored | None, said: str) -> None:
    assert limit_of(ignored, NOW) == said

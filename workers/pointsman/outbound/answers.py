"""What an answer's status asks of its caller, and when to come back."""

import random
from collections.abc import Callable, Container

import httpx

from pointsman.errors import RefusedByDependency, WorkerError
from pointsman_contract.retry_after import seconds_of

LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""A ``Retry-After`` beyond this counts as this."""
_SPREAD = 0.1
_RETRIED = frozenset({408, 425, 429})
_NEVER_BETTER = frozenset({501, 505})


class HTTPStatusError(WorkerError):
    """The status of the answer may be another one next time: 408, 425, 429, or 5xx but 501 and 505."""


class HTTPStatusPermanent(RefusedByDependency):
    """The status of the answer is not one that was expected, and asking again would not change it."""


def is_expected(status: int, expected: Container[int] | None) -> bool:
    """Whether the call succeeded; None expects any 2xx."""
    return 200 <= status <= 299 if expected is None else status in expected


def may_change(status: int) -> bool:
    """Whether asking again may be answered otherwise."""
    return status in _RETRIED or (500 <= status <= 599 and status not in _NEVER_BETTER)


def retry_after_seconds(headers: httpx.Headers, draw: Callable[[], float] = random.random) -> float | None:
    """Seconds until the peer wants to be asked again, at most an hour; None when it does not say.

    Up to a tenth is added, drawn by ``draw`` from 0 to below 1, so that callers sent away together do not come back
    together. A date is read against the answer's own ``Date``, whatever this machine's clock says (RFC 9110, 10.2.3).
    """
    seconds = seconds_of(headers.get("retry-after", ""), headers.get("date", ""))
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_SECONDS) * (1 + _SPREAD * draw())

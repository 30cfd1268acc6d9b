"""Whether a call is made again, and when."""

import random
from dataclasses import dataclass

from pointsman_client.calling.call import Call
from pointsman_client.errors import ClientError, NeverSent, Refused, Unreachable

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0
LAST_SECONDS = 0.5
"""What is left of a deadline for the last attempt, where a pause would take all of it."""
_LOST = 2
"""Times that an error of the API itself is asked again: it may well be the call that brings it about."""
_LATER = frozenset({408, 425, 429, 502, 503, 504})
_NOT_DONE = frozenset({408, 425, 429, 503})
"""Answers of somebody who has done nothing, so that any call may be made again."""
_WANTED = frozenset({"breaker-open", "sla-at-risk"})
"""Refusals that the call itself asked for."""
_KEY_IN_USE = "idempotency-key-in-use"


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is made again, at most; None: as often as its deadline allows."""

    most: int | None = None

    def pause(self, call: Call, failed: ClientError, times: int, left: float) -> float | None:
        """How long to wait before the next attempt; None: there is none. ``times`` attempts were made, and ``left``
        seconds are.
        """
        if (self.most is not None and times > self.most) or not _again(call, failed, times):
            return None
        asked = failed.retry_after_seconds if isinstance(failed, Refused) else None
        if asked:
            # Everybody was told the same, and shall not come at the same moment.
            pause = asked * random.uniform(1.0, 1.1)  # noqa: S311 - no secret
            return pause if pause < left else None
        longest = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(times - 1, 16))
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if pause < left:
            return pause
        return left - LAST_SECONDS if left > LAST_SECONDS * 2 else None


def is_for_now(failed: ClientError | None) -> bool:
    """Whether nothing was done, and the same may be done later."""
    return isinstance(failed, Refused) and failed.status in _NOT_DONE and failed.problem not in _WANTED


def _again(call: Call, failed: ClientError, times: int) -> bool:
    if isinstance(failed, Refused):
        if failed.problem in _WANTED:
            return False
        if is_for_now(failed) or failed.problem == _KEY_IN_USE:
            return True
        return call.repeatable and (failed.status in _LATER or (failed.status >= 500 and times <= _LOST))
    if isinstance(failed, NeverSent):
        return True
    return isinstance(failed, Unreachable) and call.repeatable

"""How fast held tasks are let go: a dependency that has just healed is not to meet all of them at once."""

from pointsman_contract.breaker_policy import BreakerPolicy

_DOUBLES_SECONDS = 5.0
_DOUBLINGS = 32


class Ramp:
    """For one breaker, from when its tasks were first let go. ``now`` is in seconds on any one clock."""

    def __init__(self, now: float) -> None:
        self._began_at = now
        self._let_go = 0

    def room(self, policy: BreakerPolicy, now: float) -> int:
        """How many may be let go now: at least one at the beginning."""
        return max(0, 1 + int(released_by(policy.release_per_second, now - self._began_at)) - self._let_go)

    def let_go(self, tasks: int) -> None:
        """Count so many tasks as let go."""
        self._let_go += tasks


def released_by(rate_per_second: float, seconds: float) -> float:
    """Tasks that are let go in so many seconds, when the rate doubles every five."""
    whole = min(int(seconds // _DOUBLES_SECONDS), _DOUBLINGS)
    before = rate_per_second * _DOUBLES_SECONDS * (2.0**whole - 1)
    return before + rate_per_second * 2.0**whole * (seconds - whole * _DOUBLES_SECONDS)

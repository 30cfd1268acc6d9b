"""How many failures in a row open the circuit breaker of a task type: more than some bad inputs make by chance.

A run is of different tasks, each counted once, at its first attempt: that a task fails again which failed before says
nothing new of its type. A success of whatever attempt ends the run, and so does time.
"""

from typing import NamedTuple

from pointsman_contract.breaker_policy import BreakerPolicy

_AT_ONCE = 2
_SECONDS = 3.0
_AGE_SECONDS = 600.0
LARGEST_PATIENCE = 8
"""However often it was wrong, a run so many times as long as at first opens it."""


class Run(NamedTuple):
    """What run of failures opens it."""

    many: int
    """So many, however fast they come: nearly twice as many as ``few``."""
    few: int
    """So many, when the run has lasted for ``seconds``: at first the policy's threshold."""
    seconds: float
    age: float
    """A run whose last failure is older, in seconds, begins anew."""

    def opens(self, failures: int, lasted: float) -> bool:
        """Whether so many failures that came within ``lasted`` seconds do."""
        return failures >= self.many or (failures >= self.few and lasted >= self.seconds)


def run_that_opens(policy: BreakerPolicy, patience: int = 1) -> Run | None:
    """By this policy; None: no run does. ``patience`` is from 1 and rises with each time that it opened and only some
    inputs were bad.
    """
    if policy.failure_threshold is None:
        return None
    few = policy.failure_threshold * patience
    return Run(_AT_ONCE * few - 1, few, _SECONDS * patience, _AGE_SECONDS)

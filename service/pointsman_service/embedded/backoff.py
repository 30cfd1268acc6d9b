"""How long a dead child waits before it is started again."""

import random
from dataclasses import dataclass

from pointsman_contract.backoff import backoff_seconds


@dataclass(frozen=True)
class Backoff:
    """Exponential from ``base_seconds`` to ``max_seconds``, drawn from the upper half of each step.

    Drawn, so that children that died together do not come back together. A child that lived ``settled_seconds`` starts
    from the beginning.
    """

    base_seconds: float = 0.5
    max_seconds: float = 30.0
    settled_seconds: float = 30.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the ``failures``-th death in a row, counted from 1."""
        return backoff_seconds(failures, base=self.base_seconds, cap=self.max_seconds, jitter=0.5, draw=rng.random)

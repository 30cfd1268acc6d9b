"""Predicted waits hold, whatever comes: queues in a world without servers, played from seeds.

``POINTSMAN_PREDICTION_STORIES`` plays more of them (default 1); a story that fails names its seed.
"""

import os
import random
from collections.abc import Sequence

import pytest

from tests.simulation.queues import Burst, Phase, Pool, RunTime, World

STORIES = int(os.environ.get("POINTSMAN_PREDICTION_STORIES", "1"))
SECONDS = 200.0
MOST_SAMPLES = 3

POOLS = (
    Pool(("critical",), 2),
    Pool(("critical", "high_priority"), 2),
    Pool(("email",), 1),
    Pool(("reports",), 1),
    Pool(("maintenance",), 1),
)
PAIRS = tuple(
    pool
    for pool in (Pool(("critical", "high_priority"), 2), Pool(("email",), 1), Pool(("reports",), 1))
    for _ in range(2)
)
QUEUES: dict[str, tuple[float, Sequence[int]]] = {
    "critical": (0.05, (10,)),
    "high_priority": (0.1, (8, 9)),
    "email": (0.15, (7,)),
    "reports": (0.4, (4, 6, 6, 8)),
    "maintenance": (0.05, (1, 3, 3, 5)),
}
"""Mean run time, and priorities."""


def _around(mean: float, spread: float) -> RunTime:
    return lambda chance: mean * chance.lognormvariate(-(spread**2) / 2, spread)


def _story(seed: int, pools: Sequence[Pool], shares: Sequence[float]) -> tuple[list[Phase], list[Burst]]:
    """Rates that change every minute or so, and bursts. ``shares``: of its processes, what may come to a queue."""
    chance = random.Random(seed)
    phases: list[Phase] = []
    bursts: list[Burst] = []
    for queue in sorted({name for pool in pools for name in pool.queues}):
        mean, priorities = QUEUES[queue]
        processes = sum(pool.processes for pool in pools if queue in pool.queues)
        run, at = _around(mean, chance.choice((0.3, 0.8, 1.0))), 0.0
        while at < SECONDS:
            end = at + chance.uniform(30, 90)
            rate = chance.choice(shares) * processes / mean
            phases.append(Phase(queue, at, min(end, SECONDS), rate, run, queue, priorities))
            at = end
        many = int(chance.uniform(5, 40) * processes)
        bursts.append(Burst(queue, chance.uniform(30, SECONDS - 60), many, run, queue, chance.choice(priorities)))
    return phases, bursts


@pytest.mark.parametrize("seed", range(1, STORIES + 1))
def test_as_many_tasks_start_in_time_as_is_promised(seed: int) -> None:
    world = World(POOLS, seed, MOST_SAMPLES)
    world.play(*_story(seed, POOLS, (0.1, 0.3, 0.6, 0.8, 0.9, 1.1)), SECONDS)
    found = world.coverage(world.told)
    assert found.tasks > 1200
    assert 0.9 <= found.within_p95 <= 0.985, f"seed {seed}: {found}"
    assert 0.4 <= found.within_p50 <= 0.6, f"seed {seed}: {found}"


@pytest.mark.parametrize("seed", range(1, STORIES + 1))
def test_half_of_the_nodes_die_and_predictions_hold_soon_again(seed: int) -> None:
    died_at = SECONDS / 2
    world = World(PAIRS, seed, MOST_SAMPLES)
    world.play(*_story(seed, PAIRS, (0.1, 0.2, 0.3, 0.4)), SECONDS, half_die_at=died_at)
    after = [task for task in world.told if task.submitted_at >= died_at]
    assert world.coverage(after[:200]).within_p95 >= 0.75, f"seed {seed}"
    later = [task for task in after if task.submitted_at >= died_at + 60]
    assert world.coverage(later).within_p95 >= 0.88, f"seed {seed}"

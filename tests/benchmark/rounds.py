"""The rounds of a bench, within its time."""

import time
from collections.abc import Callable, Sequence

from tests.benchmark.report import Round

FEWEST = 3
LONGEST_SECONDS = 12 * 60.0
"""No bench takes longer, but ``soak``, ``history`` and ``pages``."""
LONGEST_HISTORY_SECONDS = 20 * 60.0
"""``history`` and ``pages`` take no longer, with up to ten million tasks."""
ROUNDS_SECONDS = 9.5 * 60
"""After this long no further round begins: the rest is for starting and for the last one."""


def play(one: Callable[[int], Round], wanted: int, seconds: float = ROUNDS_SECONDS) -> list[Round]:
    """``wanted`` rounds, or fewer but at least three when they would take longer than ``seconds``."""
    since = time.monotonic()
    found: list[Round] = []
    while len(found) < wanted:
        if len(found) >= FEWEST and time.monotonic() - since > seconds * len(found) / (len(found) + 1):
            break
        found.append(one(len(found)))
    return found


def in_turn(sides: Sequence[Callable[[], Round]], number: int) -> Round:
    """Every side once, another one first in each round: what the machine does to its neighbours it does to all."""
    found: Round = {}
    for turn in range(len(sides)):
        found |= sides[(number + turn) % len(sides)]()
    return found

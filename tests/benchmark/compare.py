"""Intake and drain of this checkout beside those of another, or of an installation with keys, limits and fairness
beside one without: what a change costs.

Two whole stacks run, each on servers of its own. Both take in at once, so that each has half of the machine, and what
that does meanwhile falls on both: in turn, rates stray by a fifth. Where a process lies in memory makes it some percent
faster or slower for all its life, so stacks are started several times, the other first in every second time. Drains go
in turn. The packages are those of this checkout.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.benchmark.drain import Managed
from tests.benchmark.intake import TASK, Intake, ours
from tests.benchmark.load import Generator
from tests.benchmark.report import Report, Round
from tests.benchmark.rounds import ROUNDS_SECONDS, in_turn, play
from tests.benchmark.stack import SERVICE, Stack

_PARTS = ("postgres", "valkey", *SERVICE)
_STARTS, _ROUNDS = 4, 6
_QUICK_STARTS, _QUICK_ROUNDS = 2, 4
_FIGURES = ("single", "batch")
_SECONDS = 3.0
_MEET_SECONDS = 120.0


def run(quick: bool, other: Path) -> Report:
    """Two starts of four rounds of 3 s and 600 tasks a side, or four of six of 3 s and 1,500."""
    return beside(
        "compare",
        quick,
        [("this", Stack, TASK), ("other", partial(Stack, other), TASK)],
        [
            f"this checkout beside {other.name}",
            "a ratio of rates above 1 is this one faster, one of CPU below 1 cheaper",
        ],
    )


def beside(
    name: str,
    quick: bool,
    sides: Sequence[tuple[str, Callable[[], Stack], Mapping[str, object]]],
    notes: Sequence[str],
    at_least: Mapping[str, float] | None = None,
) -> Report:
    """Two stacks, what makes each, and the task that it is given, by name."""
    starts, rounds, tasks = (_QUICK_STARTS, _QUICK_ROUNDS, 600) if quick else (_STARTS, _ROUNDS, 1500)
    generator = Generator()
    found: list[Round] = []
    for start in range(starts):
        found += _started(sides[:: -1 if start % 2 else 1], generator, rounds, tasks, ROUNDS_SECONDS / starts)
    figures = (*_FIGURES, "drain")
    this, other = (side for side, _, _ in sides)
    return Report(
        name=name,
        rounds=found,
        shown=[f"{side}_{figure}{unit}" for figure in figures for unit in ("", "_cpu_us") for side in (this, other)],
        unit="tasks a second, CPU µs a task",
        compared={figure: (f"{this}_{figure}", f"{other}_{figure}") for figure in figures}
        | {f"{figure}_cpu": (f"{this}_{figure}_cpu_us", f"{other}_{figure}_cpu_us") for figure in figures},
        at_least=at_least or {},
        notes=[
            *notes,
            f"{len(found)} rounds, {starts} times with stacks anew; {tasks:,} tasks each to drain",
            "both take in at once, each with half of the machine; they drain in turn",
            "CPU is that of all processes that work for a side, idle time of their loops too",
        ],
    )


def _started(
    sides: Sequence[tuple[str, Callable[[], Stack], Mapping[str, object]]],
    generator: Generator,
    rounds: int,
    tasks: int,
    seconds: float,
) -> list[Round]:
    """So many rounds of both, or those that are done in so many seconds with all that belongs to a start."""
    since = time.monotonic()
    with ExitStack() as exits:
        stacks = [_Side(exits, side, make(), task, generator, tasks) for side, make, task in sides]

        def one_round(number: int) -> Round:
            found: Round = {}
            for figure in _FIGURES:
                found |= _at_once(stacks, figure)
            return found | in_turn([one.drain for one in stacks], number)

        one_round(0)
        return play(one_round, rounds, seconds - (time.monotonic() - since))


def _at_once(stacks: Sequence["_Side"], figure: str) -> Round:
    """Every stack takes in, all from the same moment on."""
    meeting = threading.Barrier(len(stacks), timeout=_MEET_SECONDS)
    found: Round = {}
    with ThreadPoolExecutor(len(stacks)) as threads:
        for one in threads.map(lambda stack: stack.take_in(figure, meeting.wait), stacks):
            found |= one
    return found


class _Side:
    """A whole stack: single submissions, batches, a drain."""

    def __init__(
        self,
        exits: ExitStack,
        name: str,
        stack: Stack,
        task: Mapping[str, object],
        generator: Generator,
        tasks: int,
    ) -> None:
        self._name = name
        self._stack = exits.enter_context(stack)
        self._managed = Managed(self._stack, tasks, exits.enter_context(self._stack.managed_worker()), task)
        self._intake = Intake(self._stack, generator, _SECONDS)
        self._takes = {side.name: side for side in ours(self._stack, task)}

    def take_in(self, figure: str, begin: Callable[[], object]) -> Round:
        """Load it, once ``begin`` has returned."""
        found = self._intake.play(self._takes[figure], _SECONDS, begin)
        # What waits would cost the loops of this stack while the other drains.
        self._stack.empty()
        return self._named(found, figure, _PARTS)

    def drain(self) -> Round:
        """Its turn to drain."""
        found = self._managed.drain()
        self._stack.empty()
        return self._named({f"drain{name.removeprefix(Managed.name)}": value for name, value in found.items()}, "drain")

    def _named(self, found: Round, figure: str, parts: Sequence[str] = (*_PARTS, "worker")) -> Round:
        """The rate, the CPU of each part, and the whole of it."""
        cpu = {part: found[f"{figure}_{part}_cpu_us"] for part in parts}
        named = {f"{self._name}_{figure}_{part}_cpu_us": spent for part, spent in cpu.items()}
        return named | {
            f"{self._name}_{figure}": found[figure],
            f"{self._name}_{figure}_cpu_us": round(sum(cpu.values()), 1),
        }

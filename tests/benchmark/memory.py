"""The memory of one API process over 500,000 submissions, one by one, with every loop running beside it."""

from collections.abc import Sequence

import psutil

from tests.benchmark.intake import BODY, CONNECTIONS
from tests.benchmark.load import Generator, settled
from tests.benchmark.report import Report, Round
from tests.benchmark.stack import Stack

_PARTS = 10
_TURN_SECONDS = 5.0
_FLAT = 0.95
"""Of what it takes at the end, at least so much it took at half: what grows for ever grows by more."""


def run(quick: bool) -> Report:
    """Ten parts of 50,000 submissions (of 5,000 when quick); the resident memory after each.

    Tables are emptied between the parts: what fills is the process and not PostgreSQL.
    """
    part = 5_000 if quick else 50_000
    generator = Generator()
    sizes: list[float] = []
    submitted = 0
    with Stack() as stack:
        process = psutil.Process(stack.processes["api"])
        started = _megabytes(process)
        for _ in range(_PARTS):
            stack.empty()
            taken = 0
            while taken < part:
                load = generator.run(f"{stack.api_url}/v1/tasks", BODY, CONNECTIONS, _TURN_SECONDS)
                taken += load.accepted
            stored = settled(stack.stored)
            if stored < taken:
                raise SystemExit(f"{taken} tasks were answered 202, {stored} are stored")
            submitted += taken
            sizes.append(_megabytes(process))
    rounds: list[Round] = [{"api_mb": size, "at_half_mb": sizes[_PARTS // 2 - 1]} for size in sizes[_PARTS // 2 :]]
    return Report(
        name="memory",
        rounds=rounds,
        shown=["api_mb", "at_half_mb"],
        unit="MB",
        compared={"half_vs_now": ("at_half_mb", "api_mb")},
        at_least={"half_vs_now": _FLAT},
        at_most={"api_mb": 200},
        generator={"name": generator.name},
        notes=[
            f"{submitted:,} submissions; at the start {started:.0f} MB, after each tenth {_words(sizes)} MB",
            "a round is a tenth; the second half of them",
        ],
    )


def _megabytes(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 1e6, 1)


def _words(sizes: Sequence[float]) -> str:
    return ", ".join(f"{size:.0f}" for size in sizes)

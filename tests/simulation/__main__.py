"""What a rule of circuit breakers does to good tasks and to what is broken: `python -m tests.simulation`."""

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_service.breaker.breaker import Breaker
from pointsman_service.breaker.of_task_type import TaskTypeBreaker
from tests.simulation.world import Arrival, Story, Told, World, poisson

RULES: dict[str, Callable[[], Breaker]] = {"before": Breaker, "now": TaskTypeBreaker}
SECONDS = 300.0
RATE = 20.0
BAD, GOOD = "a", "b"


_COLUMNS = ("", "rule", "p99", "longest", "late", "bad calls", "until held", "openings", "over", "again")


class Figures(NamedTuple):
    """One row of the table."""

    good: int
    """Tasks of the other caller."""
    p99: float
    """Seconds that these waited; what never started, to the end of the story."""
    longest: float
    late: int
    """Those that waited for more than a second."""
    bad_calls: int
    """Attempts that failed."""
    until_held: int | None
    """Attempts that failed before anything was held, since it broke; None where nothing broke."""
    openings: int
    ended: float
    """Share of the tasks that were over at the end."""
    again_after: float | None
    """Seconds from when it was mended until an attempt succeeded."""


def spread(share: float, rate: float, seconds: float, chance: random.Random) -> tuple[Arrival, ...]:
    """Bad inputs of one caller among the good ones of another, by chance."""

    def whose() -> tuple[str, bool]:
        return (BAD, True) if chance.random() < share else (GOOD, False)

    return tuple(poisson(rate, seconds, chance, whose))


def burst(size: int, rate: float, seconds: float, chance: random.Random) -> tuple[Arrival, ...]:
    """As many bad inputs at once, and others that come steadily."""
    steady = poisson(rate, seconds, chance, lambda: (GOOD, False))
    return tuple(sorted([*steady, *(Arrival(10.0, BAD, True) for _ in range(size))], key=lambda one: one.at))


def hundred_and_fifty() -> tuple[Arrival, ...]:
    """A hundred bad inputs, and fifty good ones of somebody else right behind them; nothing follows."""
    return (*(Arrival(1.0, BAD, True) for _ in range(100)), *(Arrival(1.1, GOOD) for _ in range(50)))


def ten_and_fifty() -> tuple[Arrival, ...]:
    """Ten bad inputs, and a minute later fifty good ones of somebody else, into a type that is little used."""
    return (*(Arrival(1.0, BAD, True) for _ in range(10)), *(Arrival(61.0 + n / 10, GOOD) for n in range(50)))


def stories(seconds: float, seed: int) -> Iterator[tuple[Story, Story]]:
    """Each with the same one in which nothing is wrong."""

    def chance() -> random.Random:
        return random.Random(seed)

    for share in (0.01, 0.1, 0.5, 0.8):
        arrivals = spread(share, RATE, seconds, chance())
        yield _beside(Story(f"{share:.0%} of the inputs are bad", arrivals, seconds))
    yield _beside(Story("50% are bad, no tags", spread(0.5, RATE, seconds, chance()), seconds, has_tags=False))
    yield _beside(Story("50% are bad, 1 task/s", spread(0.5, 1.0, seconds, chance()), seconds))
    yield _beside(Story("10 bad ones, then 50 good ones", ten_and_fifty(), seconds))
    yield _beside(Story("100 bad ones, 50 good behind", hundred_and_fifty(), seconds))
    yield _beside(Story("100 bad ones at once", burst(100, 10.0, seconds, chance()), seconds))
    yield _beside(Story("2000 bad ones at once", burst(2000, 10.0, seconds, chance()), seconds))
    yield _beside(Story("2000 at once, no tags", burst(2000, 10.0, seconds, chance()), seconds, has_tags=False))
    yield _beside(Story("100% are bad", spread(1.0, RATE, seconds, chance()), seconds))
    good = spread(0.0, RATE, seconds, chance())
    broken = (seconds / 5, seconds * 3 / 5)
    yield _beside(Story("what it calls is dead for a while", good, seconds, broken, run_seconds=0.3))
    yield _beside(Story("a deploy is broken, and mended", good, seconds, broken, is_mended_by_workers=True))
    mixed = spread(0.1, RATE, seconds, chance())
    yield _beside(Story("the same, 10% are bad besides", mixed, seconds, broken, is_mended_by_workers=True))
    slow = spread(0.0, 1.0, seconds, chance())
    yield _beside(Story("a deploy is broken, 1 task/s", slow, seconds, broken, is_mended_by_workers=True))


def _beside(story: Story) -> tuple[Story, Story]:
    well = tuple(arrival for arrival in story.arrivals if not arrival.is_bad)
    return story, Story(story.name, well, story.seconds, run_seconds=story.run_seconds)


def figures(story: Story, told: Told) -> Figures:
    """What a reader wants to know of it."""
    good = [task for task in told.tasks if not task.is_bad]
    waits = sorted((story.seconds if t.started_at is None else t.started_at) - t.submitted_at for t in good) or [0.0]
    since, until = story.broken
    held = story.seconds if told.first_held_at is None else told.first_held_at
    fine = [at for at, failed in told.calls if not failed and at >= until]
    breaks = bool(until) or not good
    return Figures(
        len(good),
        waits[int(0.99 * (len(waits) - 1))],
        waits[-1],
        sum(wait > 1.0 for wait in waits),
        sum(failed for _, failed in told.calls),
        sum(failed for at, failed in told.calls if since <= at <= held) if breaks else None,
        len(told.openings),
        sum(task.ended_at is not None for task in told.tasks) / max(1, len(told.tasks)),
        min(fine) - until if until and fine else None,
    )


def play(story: Story, breaker: Breaker, seed: int) -> Figures:
    """One story with the default policy."""
    return figures(story, World(story, breaker, BreakerPolicy(recovery_jitter=0), seed).play())


def table(seconds: float, seed: int) -> Iterator[str]:
    """Its lines, in Markdown."""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for story, well in stories(seconds, seed):
        beside = play(well, TaskTypeBreaker(), seed)
        for name, rule in RULES.items():
            row = play(story, rule(), seed)
            ratio = f"{row.p99 / beside.p99:,.2f}" if beside.p99 else ""
            held = "" if row.until_held is None else str(row.until_held)
            again = "" if row.again_after is None else f"{row.again_after:.1f} s"
            yield (
                f"| {story.name} | {name} | {ratio} | {row.longest:.1f} s | {row.late} of {row.good} | {row.bad_calls}"
                f" | {held} | {row.openings} | {row.ended:.0%} | {again} |"
            )


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each story")
    given = parser.parse_args(arguments)
    for line in table(given.seconds, given.seed):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Which worker's failures stand out from its peers', pure.

Workers are compared only where they did the same: on one task type, within the same seconds. What hits all of them
alike, a dead dependency or a faulty task type, then makes nobody stand out. Within each such part the failures of one
worker would be, if it were as good as the others, drawn from the failures of all; over all parts that is the test of
Mantel and Haenszel (https://doi.org/10.1093/jnci/22.4.719).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import NamedTuple

from pointsman_service.breaker.breaker import BreakerState

_DEVIATIONS = 4.0
"""So far beyond chance: about one judgement in a hundred thousand of a worker that is as good as the others."""
_PEERS_CALLS = 5
"""Calls of others to compare with, at least."""
_FAILURES_AGAIN = 2
"""On probation: so many more than its peers would have had, and it stands out again."""
OFF = frozenset({BreakerState.OPEN, BreakerState.FORCED_OPEN})
"""States of a worker's breaker that take it off its queues."""


class Counted(NamedTuple):
    """Calls of one worker of one task type within some seconds."""

    worker: str
    task_type: str
    bucket: float
    """When those seconds began."""
    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When a worker stands out."""

    minimum_calls: int = 10
    """Calls that can be compared with others'."""
    minimum_excess: float = 0.3
    """Share of its calls that failed and would not have failed at its peers' rates."""
    probation_calls: int = 10
    """A worker that was let back is admitted after so many calls, unless it stands out again."""
    is_on: bool = True
    """Whether anybody is ejected. If not, all that were are admitted."""


class Standing(NamedTuple):
    """One worker beside its peers."""

    calls: int
    failures: int
    expected: float
    """Failures that its calls would have had at its peers' rates."""
    peers_calls: int
    deviations: float
    """How far its failures are from what chance gives, in standard deviations."""

    @property
    def excess(self) -> float:
        """Failures beyond the expected, as a share of the calls."""
        return (self.failures - self.expected) / self.calls if self.calls else 0.0

    def __str__(self) -> str:
        return f"{self.failures} of {self.calls} calls failed; as other workers do, {self.expected:.1f} would have"


class Act(StrEnum):
    """What is done with a worker."""

    EJECT = "eject"
    """From its queues."""
    EJECT_AGAIN = "eject again"
    """It stands out on probation, too."""
    LET_BACK = "let back"
    """On probation, before its time: its pool has too few."""
    ADMIT = "admit"
    """For good."""


class Decision(NamedTuple):
    """About one worker."""

    act: Act
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Member:
    """A live worker that is not about to end."""

    name: str
    owner: str
    """Of its newest start; what ``Counted`` calls the worker."""
    pool: str
    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    """When it got into that state."""


def standings(counted: Iterable[Counted]) -> dict[str, Standing]:
    """Every worker that failed, beside all others, over what they did within the same seconds."""
    every: dict[tuple[str, float], _Sum] = {}
    own: dict[str, dict[tuple[str, float], _Sum]] = {}
    for row in counted:
        part = row.task_type, row.bucket
        every.setdefault(part, _Sum()).add(row)
        own.setdefault(row.worker, {}).setdefault(part, _Sum()).add(row)
    return {
        worker: _standing((its, every[part]) for part, its in parts.items())
        for worker, parts in own.items()
        if any(its.failures for its in parts.values())
    }


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    failures: int = 0

    def add(self, row: Counted) -> None:
        self.calls += row.calls
        self.failures += row.failures


def _standing(parts: Iterable[tuple[_Sum, _Sum]]) -> Standing:
    """From what one worker and what everybody did in each part."""
    calls = failures = peers = 0
    expected = chance = variance = 0.0
    for own, every in parts:
        their = every.calls - own.calls
        if not own.calls or not their:
            continue
        calls += own.calls
        failures += own.failures
        peers += their
        expected += own.calls * (every.failures - own.failures) / their
        chance += own.calls * every.failures / every.calls
        good = every.calls - every.failures
        variance += own.calls * their * every.failures * good / (every.calls**2 * (every.calls - 1))
    deviations = (failures - chance) / sqrt(variance) if variance else 0.0
    return Standing(calls, failures, expected, peers, deviations)


def stands_out(found: Standing, rule: Rule) -> bool:
    """Whether that is more than chance, and enough to matter."""
    return (
        found.calls >= rule.minimum_calls
        and found.peers_calls >= _PEERS_CALLS
        and found.excess >= rule.minimum_excess
        and found.deviations >= _DEVIATIONS
    )


def again(counted: Iterable[Counted], worker: str, rule: Rule) -> tuple[Standing, bool | None]:
    """How a worker does on probation: True, it stands out again; False, it is as good as others; None, not known yet.

    ``counted`` is since it was let back. It has given cause already, so few calls decide, also those of a task type
    that nobody else has run meanwhile.
    """
    own: dict[str, _Sum] = {}
    their: dict[str, _Sum] = {}
    for row in counted:
        (own if row.worker == worker else their).setdefault(row.task_type, _Sum()).add(row)
    calls = sum(its.calls for its in own.values())
    failures = sum(its.failures for its in own.values())
    compared = [(its, their[kind]) for kind, its in own.items() if kind in their and their[kind].calls]
    expected = sum(its.calls * others.failures / others.calls for its, others in compared)
    found = Standing(calls, failures, expected, sum(others.calls for _, others in compared), 0.0)
    if failures - expected >= _FAILURES_AGAIN and found.excess >= rule.minimum_excess:
        return found, True
    return found, False if calls >= rule.probation_calls else None


def decide(
    members: Sequence[Member], window: Sequence[Counted], probation: Mapping[str, Sequence[Counted]], rule: Rule
) -> Decision | None:
    """The next thing to do, or None. At most half of a pool's members, rounded down, are ever ejected by this.

    ``window`` is what happened lately; ``probation``, by name, what happened since a worker was let back.
    """
    if not rule.is_on:
        return _nobody_ejected(members)
    pools: dict[str, list[Member]] = {}
    for member in members:
        pools.setdefault(member.pool, []).append(member)
    spare = {pool: len(found) // 2 - sum(member.state in OFF for member in found) for pool, found in pools.items()}
    for pool, found in pools.items():
        ejected = [member for member in found if member.state is BreakerState.OPEN]
        if spare[pool] < 0 and ejected:
            longest = min(ejected, key=lambda member: (member.since, member.name))
            return Decision(Act.LET_BACK, longest.name, f"too few workers are left in pool {pool}")
    for member in members:
        if member.state is BreakerState.HALF_OPEN:
            seen, out = again(probation.get(member.name, ()), member.owner, rule)
            if out is False:
                return Decision(Act.ADMIT, member.name, f"on probation {seen.failures} of {seen.calls} calls failed")
            if out and spare[member.pool] > 0:
                return Decision(Act.EJECT_AGAIN, member.name, f"on probation {seen}")
    return _worst(members, window, spare, rule)


def _nobody_ejected(members: Sequence[Member]) -> Decision | None:
    for member in members:
        if member.state in (BreakerState.OPEN, BreakerState.HALF_OPEN):
            return Decision(Act.ADMIT, member.name, "the ejection of workers is switched off")
    return None


def _worst(
    members: Sequence[Member], window: Sequence[Counted], spare: Mapping[str, int], rule: Rule
) -> Decision | None:
    """The worst goes first and is no peer any more: two that fail must not hide one another."""
    off = {member.owner for member in members if member.state in OFF}
    found = standings(row for row in window if row.worker not in off)
    out = [
        (found[member.owner], member.name)
        for member in members
        if member.state is BreakerState.CLOSED
        and spare[member.pool] > 0
        and member.owner in found
        and stands_out(found[member.owner], rule)
    ]
    if not out:
        return None
    seen, name = max(out, key=lambda one: (one[0].excess, one[0].deviations, one[1]))
    return Decision(Act.EJECT, name, str(seen))

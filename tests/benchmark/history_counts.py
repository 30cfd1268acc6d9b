"""What the recorder would have counted of a day's tasks: minutes of TaskMetrics, by task type and queue, and by caller,
error and pool; as text for COPY, and the hours and days as sums of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter

import asyncpg  # type: ignore[import-untyped]  # ships no types

from pointsman_service.store.metrics.counters import COUNTERS
from pointsman_service.store.metrics.summing import added_up

_COUNTED = (
    "submitted",
    "started",
    "executions",
    "succeeded",
    "failed",
    "cancelled",
    "retried",
    "sla_met",
    "sla_missed",
)
_ARRAYS = ("run_buckets", "run_counts", "wait_buckets", "wait_counts")
_COLUMNS = (*_COUNTED, "run_seconds_sum", "queue_wait_seconds_sum", *_ARRAYS)
KIND_COLUMNS = ("minute", "task_type", "queue", *_COLUMNS)
NAMED_COLUMNS = ("grouped_by", "minute", "name", *_COLUMNS)
Named = tuple[str, str]
"""``caller``, ``error`` or ``pool``, and which one."""
Kind = tuple[str, str]
"""Task type and queue."""


@dataclass(slots=True)
class Minute:
    """What happened within a minute."""

    submitted: int = 0
    started: int = 0
    executions: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    sla_met: int = 0
    sla_missed: int = 0
    run_seconds: float = 0.0
    wait_seconds: float = 0.0
    run: dict[int, int] = field(default_factory=dict)
    wait: dict[int, int] = field(default_factory=dict)

    def start(self, attempts: int, wait: float, bucket: int, *, on_time: bool) -> None:
        """The attempts of one task began."""
        self.started += attempts
        self.wait_seconds += wait
        self.wait[bucket] = self.wait.get(bucket, 0) + 1
        if on_time:
            self.sla_met += 1
        else:
            self.sla_missed += 1

    def end(self, state: str, attempts: int, retried: int, run: float, bucket: int) -> None:
        """So many attempts ended, ``retried`` of which another followed, and the task; in no state when it goes on."""
        if state == "succeeded":
            self.succeeded += 1
        elif state == "failed":
            self.failed += 1
        elif state == "cancelled":
            self.cancelled += 1
        self.executions += attempts
        self.retried += retried
        self.run_seconds += run * attempts
        self.run[bucket] = self.run.get(bucket, 0) + attempts

    def add(self, other: "Minute", *, submitted: bool) -> None:
        """Add another; without what was submitted where nobody counts it so."""
        for name in _COUNTED:
            if name != "submitted" or submitted:
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.run_seconds += other.run_seconds
        self.wait_seconds += other.wait_seconds
        for mine, theirs in ((self.run, other.run), (self.wait, other.wait)):
            for bucket, n in theirs.items():
                mine[bucket] = mine.get(bucket, 0) + n

    def line(self) -> str:
        """The columns, as text for COPY."""
        return (
            f"{self.submitted}\t{self.started}\t{self.executions}\t{self.succeeded}\t{self.failed}\t{self.cancelled}"
            f"\t{self.retried}\t{self.sla_met}\t{self.sla_missed}\t{self.run_seconds:.6f}\t{self.wait_seconds:.6f}"
            f"\t{_histogram(self.run)}\t{_histogram(self.wait)}\n"
        )


@dataclass(slots=True)
class Minutes:
    """Those of a day, by what they are of and the minute since the epoch."""

    of_kinds: dict[tuple[int, Kind], Minute] = field(default_factory=dict)
    of_names: dict[tuple[str, int, str], Minute] = field(default_factory=dict)

    def kind(self, kind: Kind, at: float) -> Minute:
        """That of a task type and queue."""
        key = (int(at // 60), kind)
        found = self.of_kinds.get(key)
        if found is None:
            found = self.of_kinds[key] = Minute()
        return found

    def named(self, grouped_by: str, name: str, at: float) -> Minute:
        """That of a caller or an error."""
        key = (grouped_by, int(at // 60), name)
        found = self.of_names.get(key)
        if found is None:
            found = self.of_names[key] = Minute()
        return found

    def add_pools(self) -> None:
        """A queue has one pool, which bears its name: what ran there. Nobody has submitted to a pool."""
        for (minute, (_, queue)), counted in self.of_kinds.items():
            self.named("pool", queue, minute * 60.0).add(counted, submitted=False)

    def kind_lines(self) -> Iterator[bytes]:
        """The rows of ``task_metrics``, in their order."""
        rows = sorted(self.of_kinds.items(), key=itemgetter(0))
        return _parts(f"{_moment(at)}\t{task_type}\t{queue}\t{one.line()}" for (at, (task_type, queue)), one in rows)

    def named_lines(self) -> Iterator[bytes]:
        """The rows of ``task_metrics_by_minute``, in their order."""
        rows = sorted(self.of_names.items(), key=itemgetter(0))
        return _parts(f"{by}\t{_moment(at)}\t{name}\t{one.line()}" for (by, at, name), one in rows)


async def add_up(db: "asyncpg.Connection[asyncpg.Record]", since: datetime, before: datetime) -> None:
    """Hours and days of the minutes of a day, by the sum that readers and the rollup use."""
    for of, keys in (("task_metrics", ("task_type", "queue")), ("task_metrics_by", ("grouped_by", "name"))):
        minutes = of if of == "task_metrics" else f"{of}_minute"
        await db.execute(_sum(minutes, "minute", f"{of}_hour", "hour", keys), since, before, timeout=None)
        await db.execute(_sum(f"{of}_hour", "hour", f"{of}_day", "day", keys), since, before, timeout=None)


def _sum(of: str, at: str, into: str, unit: str, keys: Sequence[str]) -> str:
    columns = ", ".join((*COUNTERS, *_ARRAYS))
    # An hour or a day begins where the span does, or before.
    bounds = f"{at} >= date_trunc('{unit}', $1::timestamptz, 'UTC') AND {at} < $2::timestamptz"
    named = (unit, *keys)
    part = f"SELECT date_trunc('{unit}', {at}, 'UTC') AS {unit}, {', '.join(keys)}, {columns} FROM {of} WHERE {bounds}"
    return f"INSERT INTO {into} ({', '.join(named)}, {columns}) {added_up([part], named)}"


def _histogram(counts: Mapping[int, int]) -> str:
    ordered = sorted(counts)
    return f"{{{','.join(map(str, ordered))}}}\t{{{','.join([str(counts[bucket]) for bucket in ordered])}}}"


def _moment(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M:00+00")


def _parts(lines: Iterable[str]) -> Iterator[bytes]:
    part: list[str] = []
    for line in lines:
        part.append(line)
        if len(part) == 2000:
            yield "".join(part).encode()
            part = []
    yield "".join(part).encode()

"""What a day of a busy installation leaves behind, as text for COPY: ended tasks, their failed attempts, and the
minutes of TaskMetrics that the recorder would have counted of them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.failures.message import normalised
from pointsman_service.store.errors.folding import STEPS, begin_of
from pointsman_service.store.metrics.counters import Tally, _row
from pointsman_service.store.metrics.histogram import bucket_of

CALLERS = ("shop", "billing", "crm", "reports", "mobile", "partners", "warehouse", "support", "ops", "search", "audit")
"""The first submits half of everything, the next half of the rest, and so on."""
RARE_CALLER = "auditor"
"""Of one task in a hundred thousand."""
ERRORS = (
    ("ConnectTimeout", "no answer from {host} within 5 s"),
    ("HTTPStatusError", "503 from https://{host}/v2/orders/{number}"),
    ("KeyError", "'price_cents'"),
    ("ValueError", "order {number} has no lines"),
    ("SMTPServerDisconnected", "Connection unexpectedly closed by {host}"),
    ("TimeLimitExceeded", "300 s"),
    ("DataError", "invalid input syntax for type uuid: \"{number}\""),
    ("PermissionError", "/var/spool/reports/{number}.pdf"),
)  # fmt: skip
RARE_ERROR = "RateLimited"
"""Of one failure in a thousand."""
TENANTS = 500
_WORKERS = 16
_KEPT = {60: timedelta(hours=3), 3600: timedelta(days=5)}
_NOT_OF_A_KIND = {"caller", "error", "pool"}
_DRAWS = 4096
_TRACEBACK = "Traceback (most recent call last):\\n" + "".join(
    f'  File "/srv/shop/tasks/module_{number}.py", line {40 + number}, in step_{number}\\n    call()\\n'
    for number in range(6)
)
TASK_COLUMNS = (
    "id", "state", "task_type", "queue", "priority", "attempt", "max_attempts", "dispatch", "sla_seconds",
    "timeout_seconds", "submitted_at", "due_at", "started_at", "caller", "worker", "args", "kwargs", "tags", "sla_met",
    "finished_at", "run_seconds", "queue_wait_seconds", "result", "error_type", "error_message", "error_traceback",
    "error_group",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "task_id", "attempt", "worker", "started_at", "finished_at", "run_seconds", "error_type", "error_message",
    "error_traceback", "error_group",
)  # fmt: skip
WAITING_COLUMNS = (
    "id", "state", "place", "task_type", "queue", "priority", "max_attempts", "sla_seconds", "timeout_seconds",
    "submitted_at", "due_at", "caller", "args", "kwargs", "tags", "attempt", "worker", "started_at", "held_reason",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A task type as it runs here: always on one queue."""

    task_type: str
    queue: str
    priority: int
    sla_seconds: float
    waits: list[tuple[float, int]]
    """Queue waits in seconds, with their buckets."""
    runs: list[tuple[float, int]]


@cache
def kinds_of(task_types: tuple[str, ...]) -> list[Kind]:
    """The task types, the most frequent first."""
    draw = random.Random(7)
    found = []
    for number, task_type in enumerate(task_types):
        queue = DEFAULT_TOPOLOGY.queues[number % len(DEFAULT_TOPOLOGY.queues)]
        waits = [draw.lognormvariate(-2.0, 1.2) for _ in range(_DRAWS)]
        runs = [draw.lognormvariate(-3.0 + number / 5, 0.8) for _ in range(_DRAWS)]
        found.append(
            Kind(
                task_type,
                queue.name,
                queue.priority,
                queue.sla_seconds,
                [(round(wait, 6), bucket_of(wait)) for wait in waits],
                [(round(run, 6), bucket_of(run)) for run in runs],
            )
        )
    return found


@dataclass
class Group:
    """A group of errors, by one of them."""

    task_type: str
    error_type: str
    message: str
    example: str
    task_id: str


@cache
def group_id(task_type: str, error_type: str, message: str) -> str:
    """The group of an error with the traceback that all have here."""
    return group_of(task_type, error_type, message, _TRACEBACK.replace("\\n", "\n"))


@dataclass
class Day:
    """A span of one day (UTC) and its tasks, one after the other."""

    start: datetime
    end: datetime
    tasks: int
    kinds: list[Kind]
    seed: int
    attempts: list[str] = field(default_factory=list)
    """Failed attempts, as lines."""
    groups: dict[str, Group] = field(default_factory=dict)
    """The groups of its errors, by their ids."""
    errors: dict[tuple[str, str, int], list[int]] = field(default_factory=dict)
    """Failed attempts and failed tasks of a group and queue, by the minute since the epoch."""
    minutes: dict[tuple[int, int], Tally] = field(default_factory=dict)
    """By the number of the kind and the minute since the epoch."""

    def lines(self) -> Iterator[bytes]:
        """Ended tasks in the order of their submission, some thousands at a time. Also fills the rest of the day."""
        draw = random.Random(self.seed)
        begin, span = self.start.timestamp(), (self.end - self.start).total_seconds()
        last = self.end.timestamp() - 0.001
        moments = _Moments()
        part: list[str] = []
        for number in range(self.tasks):
            submitted = begin + span * number / self.tasks
            part.append(self._line(draw, submitted, last, moments))
            if len(part) == 5000:
                yield "".join(part).encode()
                part = []
        yield "".join(part).encode()

    def _line(self, draw: random.Random, submitted: float, last: float, moments: "_Moments") -> str:
        bits = draw.getrandbits(128)
        # The first kinds have a tenth each, the last ones a fiftieth.
        which = min(bits % 10 + (0 if bits >> 8 & 1 else (bits >> 9) % 11), len(self.kinds) - 1)
        kind = self.kinds[which]
        wait, wait_bucket = kind.waits[bits >> 16 & 4095]
        run, run_bucket = kind.runs[bits >> 28 & 4095]
        started = min(submitted + wait, last - 0.001)
        ended = min(started + run, last)
        task_id = f"{int(submitted * 1000):012x}7{bits >> 40 & 0xFFF:03x}8{bits & 0xFFFFFFFFFFFFFFF:015x}"
        luck = (bits >> 52) % 1000
        caller = RARE_CALLER if (bits >> 60) % 100_000 == 0 else CALLERS[_halving(bits >> 77 & 0x3FF)]
        worker = f"{kind.queue}@host-{(bits >> 90) % _WORKERS}"
        tags = _tags(bits)
        on_time = wait <= kind.sla_seconds
        tally, begun = self._minute(which, ended), self._minute(which, started)
        self._minute(which, submitted).counts["submitted"] += 1
        state, attempt, error = "succeeded", 1, "\\N\t\\N\t\\N\t\\N"
        if luck < 30:
            state, attempt = "failed", 4 if luck < 20 else 1
            error = self._error(task_id, kind, bits, ended, 1)
        elif luck < 70:
            attempt = 2 if luck < 65 else 3
        elif luck < 75:
            state = "cancelled"
        tally.counts[state] += 1
        begun.counts["started"] += attempt
        begun.counts["sla_met" if on_time else "sla_missed"] += 1
        begun.queue_wait_seconds_sum += wait
        begun.wait[wait_bucket] += 1
        tally.counts["executions"] += attempt
        tally.counts["retried"] += attempt - 1
        tally.run_seconds_sum += run * attempt
        tally.run[run_bucket] += attempt
        failures = attempt if state == "failed" else attempt - 1
        if failures:
            self._failed(task_id, kind, failures, state, worker, moments, started, ended, bits)
        at = moments.of(submitted)
        return (
            f"{task_id}\t{state}\t{kind.task_type}\t{kind.queue}\t{kind.priority}\t{attempt}\t4\t{attempt}"
            f"\t{kind.sla_seconds}\t300\t{at}\t{at}\t{moments.of(started)}\t{caller}\t{worker}\t[]"
            f'\t{{"to":"u{bits >> 100 & 0xFFFFF}@example.org"}}\t{tags}\t{"t" if on_time else "f"}\t{moments.of(ended)}'
            f"\t{run}\t{wait}\tnull\t{error}\n"
        )

    def _minute(self, which: int, at: float) -> Tally:
        key = (which, int(at // 60))
        found = self.minutes.get(key)
        if found is None:
            found = self.minutes[key] = Tally()
        return found

    def _failed(
        self, task_id: str, kind: Kind, failures: int, state: str, worker: str, moments: "_Moments", started: float,
        ended: float, bits: int,
    ) -> None:  # fmt: skip
        for attempt in range(1, failures + 1):
            # The last one of a task that failed is counted with it.
            is_counted = state == "failed" and attempt == failures
            error = self._error(task_id, kind, bits, ended, 0, 0 if is_counted else 1)
            self.attempts.append(
                f"{task_id}\t{attempt}\t{worker}\t{moments.of(started)}\t{moments.of(ended)}\t{ended - started:.6f}"
                f"\t{error}\n"
            )

    def _error(self, task_id: str, kind: Kind, bits: int, ended: float, tasks: int, occurrences: int = 1) -> str:
        name, message = RARE_ERROR, "limit of 100 reached"
        if (bits >> 33) % 1000:
            name, pattern = ERRORS[(bits >> 33) % 7 * ((bits >> 44) % 7) // 6 % len(ERRORS)]
            message = pattern.format(host=f"h{bits >> 50 & 15}.example.org", number=bits >> 60 & 0xFFFFFF)
        told = normalised(message)
        group = group_id(kind.task_type, name, told)
        if group not in self.groups:
            self.groups[group] = Group(kind.task_type, name, told, message, task_id)
        counted = self.errors.setdefault((group, kind.queue, int(ended // 60)), [0, 0])
        counted[0] += occurrences
        counted[1] += tasks
        return f"{name}\t{message}\t{_TRACEBACK}\t{group}"

    def metrics(self) -> list[dict[str, object]]:
        """The rows of ``task_metrics``."""
        rows = []
        for (which, minute), tally in self.minutes.items():
            kind, at = self.kinds[which], datetime.fromtimestamp(minute * 60, UTC)
            row = _row((kind.task_type, kind.queue, at, None, None, None), tally)
            rows.append({name: value for name, value in row.items() if name not in _NOT_OF_A_KIND})
        return rows

    def error_counts(self) -> list[tuple[str, int, datetime, str, int, int]]:
        """The rows of ``error_count`` that are kept: days, of the last days hours, of the last hours minutes."""
        counts: dict[tuple[str, int, datetime, str], list[int]] = {}
        now = datetime.now(UTC)
        for (group, queue, minute), (occurrences, tasks) in self.errors.items():
            at = datetime.fromtimestamp(minute * 60, UTC)
            for step in STEPS:
                if step in _KEPT and at < now - _KEPT[step]:
                    continue
                counted = counts.setdefault((group, step, begin_of(at, step), queue), [0, 0])
                counted[0] += occurrences
                counted[1] += tasks
        return [(*key, occurrences, tasks) for key, (occurrences, tasks) in counts.items()]


def waiting(kinds: list[Kind], until: datetime, tasks: int, seconds: float) -> Iterator[bytes]:
    """Unfinished tasks submitted in the ``seconds`` before a moment: they wait, but for some hundreds that are held or
    sleep.
    """
    draw = random.Random(11)
    moments = _Moments()
    begin = until.timestamp() - seconds
    part: list[str] = []
    for number in range(tasks):
        bits = draw.getrandbits(128)
        kind = kinds[bits % len(kinds)]
        submitted = begin + seconds * number / tasks
        task_id = f"{int(submitted * 1000):012x}7{bits >> 40 & 0xFFF:03x}8{bits & 0xFFFFFFFFFFFFFFF:015x}"
        state, place, reason, attempt, worker, started = "queued", "waiting", "\\N", 0, "\\N", "\\N"
        due = at = moments.of(submitted)
        if number % 3000 == 0:
            state, place, reason = "held", "held", "by_hand"
        elif number % 3000 == 1:
            state, place, due = "scheduled", "asleep", moments.of(submitted + 86_400 * 3)
        elif number % 3000 == 2:
            state, place, due = "retrying", "asleep", moments.of(submitted + 86_400 * 2)
            attempt, worker, started = 1, f"{kind.queue}@host-{bits % _WORKERS}", at
        part.append(
            f"{task_id}\t{state}\t{place}\t{kind.task_type}\t{kind.queue}\t{kind.priority}\t4\t{kind.sla_seconds}\t300"
            f"\t{at}\t{due}\t{CALLERS[_halving(bits >> 77 & 0x3FF)]}\t[]"
            f'\t{{"to":"u{bits >> 100 & 0xFFFFF}@example.org"}}'
            f"\t{_tags(bits)}\t{attempt}\t{worker}\t{started}\t{reason}\n"
        )
        if len(part) == 5000:
            yield "".join(part).encode()
            part = []
    yield "".join(part).encode()


class _Moments:
    """Moments as PostgreSQL reads them."""

    def __init__(self) -> None:
        self._seconds: dict[int, str] = {}

    def of(self, seconds: float) -> str:
        """Of so many seconds since the epoch."""
        whole = int(seconds)
        found = self._seconds.get(whole)
        if found is None:
            if len(self._seconds) > 10_000:
                self._seconds.clear()
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)
            found = self._seconds[whole] = f"{at:%Y-%m-%d %H:%M:%S}"
        return f"{found}.{int((seconds - whole) * 1_000_000):06d}+00"


def _halving(bits: int) -> int:
    return min(10 - bits.bit_length(), len(CALLERS) - 1)


def _tags(bits: int) -> str:
    """Half have a tenant, one in ten a number of their own besides."""
    if bits >> 70 & 1:
        return "\\N"
    tenant = (bits >> 80) % TENANTS
    if (bits >> 64) % 10 < 2:
        return f'{{"tenant":"{tenant}","order":"{bits >> 84 & 0xFFFFFFFF}"}}'
    return f'{{"tenant":"{tenant}"}}'

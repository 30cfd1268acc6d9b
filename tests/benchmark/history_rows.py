"""What a day of a busy installation leaves behind, as text for COPY: ended tasks and their failed attempts; and what is
counted of them.
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
from pointsman_service.store.metrics.histogram import bucket_of
from tests.benchmark.history_counts import Minutes

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
_COLUMN_ERROR = "UndefinedColumn"
"""Of one failure in ten: each column is a cause of its own, so that there are some thousand groups."""
_FIELDS = [
    f"{one}_{other}"
    for one in ("order", "item", "tax", "mail", "user", "shop", "cart", "rate", "unit", "stock")
    for other in ("name", "kind", "note", "state", "owner", "total", "price", "weight", "colour", "origin")
]
TENANTS = 500
_WORKERS = 16
_KEPT = {60: timedelta(hours=3), 3600: timedelta(days=5)}
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


@cache
def _normalised(pattern: str) -> str:
    return normalised(pattern.format(host="h1.example.org", number=4321))


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
    minutes: Minutes = field(default_factory=Minutes)

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
        self.minutes.add_pools()

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
        minutes, key = self.minutes, (kind.task_type, kind.queue)
        minutes.kind(key, submitted).submitted += 1
        minutes.named("caller", caller, submitted).submitted += 1
        state, attempt, error, failed = "succeeded", 1, "\\N\t\\N\t\\N\t\\N", 0
        if luck < 30:
            state, attempt = "failed", 4 if luck < 20 else 1
            failed = attempt
        elif luck < 70:
            attempt = 2 if luck < 65 else 3
            failed = attempt - 1
        elif luck < 75:
            state = "cancelled"
        for begun in (minutes.kind(key, started), minutes.named("caller", caller, started)):
            begun.start(attempt, wait, wait_bucket, on_time=on_time)
        for counted in (minutes.kind(key, ended), minutes.named("caller", caller, ended)):
            counted.end(state, attempt, attempt - 1, run, run_bucket)
        if failed:
            name, words, group = self._error(task_id, kind, bits)
            if state == "failed":
                error = words
            lost = minutes.named("error", name, ended)
            lost.end(state if state == "failed" else "", failed, attempt - 1, run, run_bucket)
            occurred = self.errors.setdefault((group, kind.queue, int(ended // 60)), [0, 0])
            occurred[0] += failed
            occurred[1] += state == "failed"
            began, over = moments.of(started), moments.of(ended)
            self.attempts += [
                f"{task_id}\t{number}\t{worker}\t{began}\t{over}\t{run}\t{words}\n" for number in range(1, failed + 1)
            ]
        at = moments.of(submitted)
        return (
            f"{task_id}\t{state}\t{kind.task_type}\t{kind.queue}\t{kind.priority}\t{attempt}\t4\t{attempt}"
            f"\t{kind.sla_seconds}\t300\t{at}\t{at}\t{moments.of(started)}\t{caller}\t{worker}\t[]"
            f'\t{{"to":"u{bits >> 100 & 0xFFFFF}@example.org"}}\t{tags}\t{"t" if on_time else "f"}\t{moments.of(ended)}'
            f"\t{run}\t{wait}\tnull\t{error}\n"
        )

    def _error(self, task_id: str, kind: Kind, bits: int) -> tuple[str, str, str]:
        """The type of an error, its columns as text, and its group."""
        number = bits >> 33
        if not number % 1000:
            name, pattern = RARE_ERROR, "limit of 100 reached"
        elif number % 10 == 1:
            name, pattern = _COLUMN_ERROR, f"no column {_FIELDS[(bits >> 55) % len(_FIELDS)]}"
        else:
            name, pattern = ERRORS[number % 7 * ((bits >> 44) % 7) // 6 % len(ERRORS)]
        message = pattern.format(host=f"h{bits >> 50 & 15}.example.org", number=bits >> 60 & 0xFFFFFF)
        told = _normalised(pattern)
        group = group_id(kind.task_type, name, told)
        if group not in self.groups:
            self.groups[group] = Group(kind.task_type, name, told, message, task_id)
        return name, f"{name}\t{message}\t{_TRACEBACK}\t{group}", group

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

"""What the first page says, as plain values: whoever shows it makes its own links and its own words for times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pointsman_contract.log_text import spaced


class Overall(StrEnum):
    """How it is, in one word."""

    HEALTHY = "healthy"
    """Nothing is wrong, and what would tell is known."""
    DEGRADED = "degraded"
    """Something is wrong."""
    UNKNOWN = "unknown"
    """Nothing is known to be wrong, and some of what would tell is not known now."""


class Urgency(StrEnum):
    """Who has to know of a cause, and when. The order is that of the page."""

    PAGE = "page"
    """Somebody, now."""
    TICKET = "ticket"
    """Somebody, in the morning."""
    NOTICE = "notice"
    """Nobody: somebody wanted it so, and it goes on. It does not degrade anything."""


class LinkKind(StrEnum):
    """What a link leads to."""

    TASK = "task"
    TASKS = "tasks"
    """A list of tasks: ``Link.filter`` narrows it, with the names of the parameters of ``GET /v1/tasks``."""
    TASK_ACT = "task_act"
    """What was done to many tasks at once."""
    TASK_TYPE = "task_type"
    QUEUE = "queue"
    QUEUES = "queues"
    WORKER = "worker"
    WORKERS = "workers"
    BREAKER = "breaker"
    """``name`` is ``<scope>:<name>``."""
    BREAKERS = "breakers"
    ERROR = "error"
    ERRORS = "errors"
    """``Link.filter`` narrows it, with the names of the parameters of ``GET /v1/errors``."""
    DEAD_LETTERS = "dead_letters"
    """``Link.filter`` narrows it, with the names of the parameters of ``GET /v1/dead-letters``."""
    ALERT = "alert"
    ALERTS = "alerts"
    SET_ASIDE = "set_aside"
    """Messages of a queue that nobody could run; without a name: of all."""
    READINESS = "readiness"
    """How every part is."""
    DOCUMENT = "document"
    """``name`` is a path of the checkout, with the heading: ``docs/troubleshooting.md#queue-growing``."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where more of it is told. No URL: each shower has its own."""

    kind: LinkKind
    name: str | None = None
    """Id or name; None: a list."""
    filter: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence."""

    text: str
    """Of one line, whatever others wrote that it tells."""
    link: Link | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", spaced(self.text))


Words = tuple[Part, ...]
"""A sentence in pieces. Their texts, one after the other, are the sentence with its spaces and its full stop."""


def said(words: Sequence[Part]) -> str:
    """The sentence as text."""
    return "".join(part.text for part in words)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that a person can do."""

    text: str
    link: Link | None = None
    """Where it is explained, or done."""
    command: str | None = None
    """What to type."""
    act: str | None = None
    """The operation of the API that does it, by its ``operationId``; on what: ``link``."""


@dataclass(frozen=True, slots=True)
class CauseError:
    """The newest failure behind a cause."""

    type: str
    message: str
    task_id: str | None
    count: int
    """How many were seen like it, as far as they are counted: in a row, or since it began."""
    where: str | None = None
    """File and line of the innermost frame."""
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """That somebody knows."""

    at: datetime
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong, with all that it leads to."""

    severity: Urgency
    kind: str
    """The rule of its alert, or ``queue_paused``, ``breaker_forced`` and ``figures_old`` of what has none."""
    subject: str
    """What it is about; empty when it is about the whole."""
    since: datetime | None
    """As far as is known."""
    parts: Words
    """What is wrong."""
    consequences: tuple[Words, ...] = ()
    """What that does to whom."""
    being_done: Words = ()
    """What happens without anybody: the next probe, a rescue. Empty: nothing."""
    remedies: tuple[Remedy, ...] = ()
    """The first thing first."""
    alert_ids: tuple[UUID, ...] = ()
    error: CauseError | None = None
    acknowledged: Acknowledged | None = None
    documentation: str = ""


class QueueState(StrEnum):
    """How a queue does, in one word: the first that holds."""

    UNKNOWN = "unknown"
    """What it takes to say so is not known now."""
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    """Tasks wait, and no live process takes from it."""
    LATE = "late"
    """The oldest task has waited for longer than the target."""
    AT_RISK = "at_risk"
    """By the prediction a task that is submitted now will."""
    HELD = "held"
    """Tasks are held back, by a circuit breaker or because nobody knows their type; the others start in time."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Predicted:
    """When a task starts that is submitted now, or why that cannot be said."""

    p95_seconds: float | None
    """19 of 20 start within this."""
    reason: str | None
    """A word of ``observe.prediction.prediction.Reason``; None when there are seconds."""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue."""

    name: str
    priority: int
    sla_seconds: float
    """Its target for queue wait."""
    met_today: float | None
    """Share of the first starts within the target since midnight UTC, 0 to 1; None: nothing started, or not known."""
    oldest_wait_seconds: float | None
    """None: no task waits."""
    predicted: Predicted
    in_per_minute: float | None
    """Submitted, over the last five minutes."""
    out_per_minute: float | None
    """Attempts ended, over the last five minutes."""
    in_series: tuple[float | None, ...]
    """Submitted a minute, of each of the last minutes, the oldest first; None: nobody looked."""
    out_series: tuple[float | None, ...]
    waiting: int
    """Due and not started."""
    running: int
    held: int
    busy: int | None
    """Processes of live workers of this queue that run something, of any queue; None: not known."""
    processes: int | None
    """Those that take from it; None: not known."""
    state: QueueState
    state_since: datetime | None
    state_reason: str | None
    """In words, where there is more to say than the state does."""


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """One circuit breaker that lets not everything through."""

    scope: str
    name: str
    state: str
    since: datetime | None
    error: CauseError | None
    held: int | None
    """Tasks that it holds back; None: not known."""
    next_probe_at: datetime | None
    by: str | None
    """Who set it by hand; None: nobody."""
    reason: str | None
    """Why they did."""


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One error group that occurred within the last hour."""

    id: UUID
    label: str
    """What fails, in one line."""
    task_type: str
    count: int
    """Attempts that failed so within the hour."""
    badge: str | None
    """``new`` or ``back again``."""
    since: datetime
    """When it was first seen, or came back."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed."""

    at: datetime
    actor: str
    what: Words
    reason: str | None


@dataclass(frozen=True, slots=True)
class Shift:
    """A task type that does otherwise than before: in the last quarter of an hour, beside the hours before."""

    task_type: str
    figure: str
    """``failure_rate`` or ``run_seconds_p95``."""
    before: float
    now: float
    runs: int
    """Attempts that ended in the quarter of an hour."""


@dataclass(frozen=True, slots=True)
class LastHour:
    """What the last hour came to."""

    tasks: int
    """Submitted."""
    started_within_target: float | None
    """Share of the first starts, 0 to 1; None: nothing started."""
    failed: int
    """For good."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that is not known now, and is shown as it was."""

    what: str
    """``database``, ``broker``, ``workers``, ``recorder`` or ``reconciler``."""
    since: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class RunningNow:
    """What a worker runs, by its own word."""

    worker: str
    task_id: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Now:
    """The first page. What is not known is None, or named in ``unknown``."""

    as_of: datetime
    recorded_up_to: datetime | None
    """What workers reported before is in these figures."""
    verdict: Overall
    sentence: str
    """The verdict in words."""
    causes: tuple[Cause, ...]
    """The worst first."""
    queues: tuple[QueueLine, ...]
    breakers: tuple[BreakerLine, ...]
    """Those that let not everything through, the first ones."""
    breakers_in_all: int | None
    errors: tuple[ErrorLine, ...]
    """Of the last hour, the first ones: what is news first, then what occurred most."""
    changes: tuple[Change, ...]
    """What was changed lately and by whom, the newest first."""
    lately: tuple[Shift, ...]
    last_hour: LastHour | None
    unknown: tuple[Unknown, ...] = ()
    running: tuple[RunningNow, ...] = ()
    """While PostgreSQL is away: what workers run, as they say themselves."""

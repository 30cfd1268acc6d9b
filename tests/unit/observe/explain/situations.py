"""A situation for each cause: the facts, and the sentence that is told. ``docs/explain.md`` shows the same ones."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_contract.states import Place, TaskState
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.facts import (
    Breaker,
    Count,
    Facts,
    Fetched,
    HeldType,
    LastError,
    Live,
    Node,
    Pause,
    Publisher,
    Queue,
    RunningNow,
    System,
    UnknownType,
)
from pointsman_service.observe.prediction.prediction import Basis, Confidence, Prediction
from pointsman_service.observe.tasks.task import Task, TaskError, TaskProgress, task_of

NOW = datetime(2026, 11, 28, 8, 34, 12, tzinfo=UTC)
TASK_ID = "01a20271-c811-71a5-99c0-510fde22a57d"
OTHER_ID = "01a20270-0000-71a5-99c0-510fde22a57d"
CRASHED = TaskError("KeyError", "'price_cents'", "")


def before(seconds: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(seconds=seconds)


def later(seconds: float) -> datetime:
    """So long after now."""
    return NOW + timedelta(seconds=seconds)


_ROW: dict[str, Any] = dict.fromkeys(
    (
        "scheduled_at", "delay_seconds", "expires_at", "requested_timeout_seconds", "started_at", "worker",
        "progress", "held_reason", "cancel_requested_at", "cancel_requested_by", "replayed_from", "fairness_key",
    )
) | {
    "id": UUID(TASK_ID),
    "task_type": "shop.report",
    "args": "[]",
    "kwargs": "{}",
    "queue": "reports",
    "priority": 6,
    "tags": None,
    "dependencies": None,
    "state": TaskState.QUEUED,
    "attempt": 0,
    "max_attempts": 4,
    "interruptions": 0,
    "uncertain_sendings": 0,
    "submitted_at": before(240),
    "due_at": before(240),
    "sla_seconds": 60.0,
    "held_seconds": 0.0,
    "held_wait_seconds": 0.0,
    "dispatch": 0,
    "caller": "shop",
    "fairness_key": "",
}  # fmt: skip


def task(**changes: Any) -> Task:
    """A task that has waited for four minutes."""
    return replace(task_of(_ROW, NOW), **changes)


WELL = System(
    redis_up=True,
    memory_percent=12,
    full_percent=70,
    unled={"dispatcher": 0.0, "recorder": 0.0, "reconciler": 0.0},
    recorder_lag_seconds=0.0,
)
NODE = Node("reports@host-1", processes=1, busy=0, live=True, last_seen_at=before(1), left=False)
QUEUE = Queue("reports", on_broker=0, window=200, nodes=(NODE,))
WAITS = Live(Place.WAITING, sent_at=before(240), time_limit_seconds=1800.0)
SENT = replace(WAITS, place=Place.SENT, sent_at=before(20))
ASLEEP = replace(WAITS, place=Place.ASLEEP)
HELD = replace(WAITS, place=Place.HELD, held_at=before(220))
UNSENT = Facts(NOW, task(), WAITS, WELL, QUEUE, ahead=Count(0))
ON_ITS_WAY = replace(UNSENT, task=task(dispatch=1), live=SENT)
IS_HELD = replace(UNSENT, task=task(state=TaskState.HELD, held_reason="breaker:dependency:crm"), live=HELD, ahead=None)
RUNS = replace(
    UNSENT,
    task=task(
        state=TaskState.RUNNING, attempt=1, dispatch=1, worker="reports@host-1", started_at=before(100),
        progress=TaskProgress("PROGRESS", 1.0, 3.0, "one of three", None, None),
    ),
    live=SENT,
    ahead=None,
    runner=Fetched("reports@host-1", live=True),
    usual_p95_seconds=0.3,
)  # fmt: skip
CRM = Breaker(
    "dependency",
    "crm",
    "open",
    since=before(240),
    retry_at=later(41),
    last_error=LastError("HTTPStatusError", "503 from crm", OTHER_ID, before(200), 31),
    held=Count(212),
    held_types=(HeldType("shop.sync", 200), HeldType("shop.report", 12)),
)


def without(role: str) -> System:
    """An installation in which nobody has had a role for a minute."""
    assert WELL.unled is not None
    return replace(WELL, unled={**WELL.unled, role: 60.0})


def ended(state: TaskState, **changes: Any) -> Facts:
    """A task that ended ten seconds ago."""
    found: dict[str, Any] = {"state": state, "finished_at": before(10), "attempt": 1, "worker": "reports@host-1"}
    return Facts(NOW, task(**(found | changes)))


BUSY = replace(
    UNSENT,
    ahead=Count(13),
    prediction=Prediction(40.0, 125.0, Basis.FLOW, Confidence.GOOD, None),
    queue=replace(
        QUEUE,
        nodes=(replace(NODE, busy=1),),
        running=(RunningNow("shop.report", 1, 100.0, OTHER_ID, 0.3),),
    ),
)

SITUATIONS: Mapping[Cause, tuple[Facts, str]] = {
    Cause.BROKER_AWAY: (
        replace(UNSENT, system=System(redis_up=False, redis_reason="connection refused")),
        (
            "The broker does not answer (connection refused): tasks are accepted and wait, and nothing starts. This"
            " task has been due for 4 min."
        ),
    ),
    Cause.BROKER_FULL: (
        replace(UNSENT, system=replace(WELL, memory_percent=91)),
        (
            "Redis is full, 91 % of its memory is used: nothing is sent, and from gate_memory_percent on, 85 % by"
            " default, workers start nothing. What is submitted is accepted and waits. This task has been due for 4"
            " min."
        ),
    ),
    Cause.BROKER_KEY: (
        replace(UNSENT, system=replace(WELL, broken_keys=("reports",)), queue=replace(QUEUE, broken=True)),
        (
            "The key 'reports' of the broker is of another type than Celery's: what it is for stands still. This task"
            " has been due for 4 min."
        ),
    ),
    Cause.BROKER_CENSUS: (
        replace(UNSENT, system=replace(WELL, in_census=True)),
        (
            "Redis is another than before, and nothing is sent for some seconds: until living workers have said what"
            " they run. This task has been due for 4 min."
        ),
    ),
    Cause.NO_RECORDER: (
        replace(ON_ITS_WAY, system=without("recorder")),
        (
            "No recorder runs: tasks start and end, and nothing of it is written down. Until one runs task states,"
            " counters and what breakers counted are shown as they were then. This task may have started, and even"
            " ended."
        ),
    ),
    Cause.NO_DISPATCHER: (
        replace(UNSENT, system=without("dispatcher"), ahead=Count(17)),
        (
            "No dispatcher runs: tasks that wait in PostgreSQL are not sent, and new ones only while their queue has"
            " room. This task has been due for 4 min; 17 tasks are before it."
        ),
    ),
    Cause.NO_RECONCILER: (
        replace(UNSENT, system=without("reconciler"), task=task(state=TaskState.SCHEDULED), live=ASLEEP, ahead=None),
        (
            "No reconciler runs: tasks that are due later or failed once do not start, and what fell out of the line"
            " is not put back. This task has been due for 4 min."
        ),
    ),
    Cause.RECORDER_BEHIND: (
        replace(ON_ITS_WAY, system=replace(WELL, recorder_lag_seconds=45.0)),
        (
            "What workers report is written down 45 s late. Until then task states, counters and what breakers"
            " counted are shown as they were then. This task may have started, and even ended."
        ),
    ),
    Cause.CANCELLING: (
        replace(
            RUNS,
            task=replace(RUNS.task, cancel_requested_at=before(4), cancel_requested_by="ada"),
            live=replace(SENT, cancel_grace_seconds=10.0),
        ),
        (
            "It is about to end: ada cancelled it at 08:34:08 UTC. Attempt 1, on reports@host-1, was asked to end, or"
            " is killed in 6 s (08:34:18 UTC)."
        ),
    ),
    Cause.QUEUE_PAUSED: (
        replace(UNSENT, ahead=Count(17), queue=replace(QUEUE, pause=Pause("ops", "provider moves", before(788)))),
        (
            "The queue reports was paused by ops at 08:21:04 UTC: provider moves. Nothing of it starts until it is"
            " resumed. This task has been due for 4 min; 17 tasks are before it."
        ),
    ),
    Cause.DISPATCHER_BEHIND: (
        UNSENT,
        "Tasks wait unsent though the broker has room: reports. This task has been due for 4 min.",
    ),
    Cause.NO_WORKER: (
        replace(
            UNSENT,
            ahead=Count(17),
            queue=replace(QUEUE, nodes=(replace(NODE, busy=None, live=False, last_seen_at=before(94)),)),
        ),
        (
            "No live worker takes tasks from reports: what is submitted to it is accepted and waits. Last there:"
            " reports@host-1 at 08:32:38 UTC, which fell silent. This task has been due for 4 min; 17 tasks are"
            " before it."
        ),
    ),
    Cause.WORKER_EJECTED: (
        replace(
            UNSENT,
            queue=replace(
                QUEUE,
                nodes=(replace(NODE, ejected=True, ejected_since=before(60), ejected_reason="9 of 10 calls failed"),),
            ),
        ),
        (
            "Every live worker of reports is kept off it: reports@host-1 is taken off its queues since 08:33:12 UTC:"
            " 9 of 10 calls failed. This task has been due for 4 min."
        ),
    ),
    Cause.WORKER_LOST: (
        replace(RUNS, runner=Fetched("reports@host-1", live=False)),
        (
            "The worker reports@host-1 fell silent without saying good-bye. What it ran is sent again. It ran attempt"
            " 1 of this task."
        ),
    ),
    Cause.UNKNOWN_TASK_TYPE: (
        replace(
            IS_HELD,
            task=task(state=TaskState.HELD, held_reason="unknown_task_type", task_type="feeds.import"),
            unknown=UnknownType(
                ("reports@host-1",), Count(41), Publisher("feeds@host-2", before(3600), before(86_400))
            ),
        ),
        (
            "41 tasks are held on queue reports: no living worker of it knows the task type feeds.import. Of those that"
            " take from it (reports@host-1) none knows the type. It was last published by feeds@host-2 at 2026-11-27"
            " 08:34:12 UTC, last seen at 07:34:12 UTC."
        ),
    ),
    Cause.BREAKER_FORCED_OPEN: (
        replace(
            IS_HELD,
            breaker=replace(CRM, seen="forced_open", by="ops", reason="they migrate", until=None, retry_at=None),
        ),
        (
            "The circuit breaker of dependency crm is open by hand: its calls are held. By ops at 08:30:12 UTC: they"
            " migrate. It stays so until somebody lets it go. It holds 212 tasks (200 shop.sync, 12 shop.report); being"
            " held spends no attempt."
        ),
    ),
    Cause.BREAKER_OPEN: (
        replace(IS_HELD, breaker=CRM),
        (
            "The circuit breaker of dependency crm is open: its calls are held. Last error: HTTPStatusError: 503 from"
            " crm (31 times, last of task 01a20270-0000-71a5-99c0-510fde22a57d). It opened at 08:30:12 UTC. It is"
            " tried next in 41 s (08:34:53 UTC). It holds 212 tasks (200 shop.sync, 12 shop.report); being held"
            " spends no attempt."
        ),
    ),
    Cause.BREAKER_HALF_OPEN: (
        replace(IS_HELD, breaker=replace(CRM, seen="half_open", retry_at=None)),
        (
            "The circuit breaker of dependency crm is half open: a few go first, and this task goes when they"
            " succeed. It holds 212 tasks (200 shop.sync, 12 shop.report); being held spends no attempt."
        ),
    ),
    Cause.BREAKER_CLOSED: (
        replace(IS_HELD, breaker=replace(CRM, seen="closed", retry_at=None, held=Count(1000, capped=True))),
        (
            "The circuit breaker of dependency crm has closed. What it held goes, the most urgent first and at a rate"
            " that doubles every five seconds. It holds more than 1,000 tasks (200 shop.sync, 12 shop.report); being"
            " held spends no attempt."
        ),
    ),
    Cause.QUARANTINE: (
        replace(
            IS_HELD,
            task=task(state=TaskState.HELD, held_reason="quarantine"),
            live=replace(HELD, interrupted_in_a_row=5),
        ),
        (
            "It lost its worker 5 times in a row, and runs next with nothing beside it. It waits until the nodes of"
            " reports have nothing else."
        ),
    ),
    Cause.QUEUE_KEPT_EMPTY: (
        replace(UNSENT, queue=replace(QUEUE, kept_for=OTHER_ID)),
        (
            "The queue reports is kept empty so that task 01a20270-0000-71a5-99c0-510fde22a57d, which lost its worker"
            " again and again, runs alone. This task has been due for 4 min."
        ),
    ),
    Cause.ALL_BUSY: (
        BUSY,
        (
            "The one process that takes from reports is busy, with shop.report for 100 s (usual p95 0.3 s). 13 tasks of"
            " equal or higher priority are before it. It starts in about 40 s, with 95 % confidence within 2 min."
        ),
    ),
    Cause.WINDOW_FULL: (
        replace(UNSENT, ahead=Count(1000, capped=True), queue=replace(QUEUE, on_broker=200)),
        (
            "The broker has 200 messages of reports, and is to have no more than 200: this task is sent as they"
            " start. This task has been due for 4 min; more than 1,000 tasks are before it."
        ),
    ),
    Cause.RETRYING: (
        replace(
            UNSENT,
            task=task(state=TaskState.RETRYING, attempt=1, due_at=later(3), error=CRASHED),
            live=ASLEEP,
            ahead=None,
        ),
        "Attempt 1 failed with KeyError: 'price_cents'. The next one, of 4 at most, is due in 3 s (08:34:15 UTC).",
    ),
    Cause.SCHEDULED: (
        replace(UNSENT, task=task(state=TaskState.SCHEDULED, due_at=later(90_000)), live=ASLEEP, ahead=None),
        "It was submitted to start later, and is due in 25.0 h (2026-11-29 09:34:12 UTC).",
    ),
    Cause.RUNNING: (
        RUNS,
        (
            "Attempt 1 runs on reports@host-1 since 08:32:32 UTC, for 100 s: long, for the usual p95 of shop.report is"
            " 0.3 s. It says that it is at 1 of 3 (one of three). Its time limit ends it in 28 min (09:02:32 UTC)."
        ),
    ),
    Cause.NOT_BEGUN: (
        replace(ON_ITS_WAY, fetched=Fetched("reports@host-1", live=True)),
        (
            "Its message was sent 20 s ago, and no worker has said that it began. reports@host-1 has fetched it. If"
            " it was lost, it is sent again within some seconds."
        ),
    ),
    Cause.STARTING: (
        replace(UNSENT, task=task(due_at=before(0.2))),
        "Nothing is wrong: it is due and starts within a moment.",
    ),
    Cause.NOT_KNOWN: (
        replace(UNSENT, task=task(due_at=before(8))),
        "Nothing that is known keeps it from being sent. This task has been due for 8 s.",
    ),
    Cause.SUCCEEDED: (
        ended(TaskState.SUCCEEDED, run_seconds=2.5, queue_wait_seconds=0.4, attempt=2, sla_met=True),
        "It succeeded at 08:34:02 UTC on reports@host-1 after a run of 2.5 s, at attempt 2, having waited for 0.4 s.",
    ),
    Cause.ATTEMPTS_SPENT: (
        ended(TaskState.FAILED, attempt=4, error=CRASHED),
        "It failed at 08:34:02 UTC: the last of its 4 attempts, on reports@host-1, ended with KeyError: 'price_cents'.",
    ),
    Cause.PERMANENT_ERROR: (
        ended(TaskState.FAILED, error=CRASHED),
        (
            "It failed at 08:34:02 UTC: attempt 1, on reports@host-1, ended with KeyError: 'price_cents', and no"
            " other was to follow, though 4 were allowed."
        ),
    ),
    Cause.FAILED_FAST: (
        ended(TaskState.FAILED, attempt=0, worker=None, error=TaskError("BreakerOpen", "dependency crm is open", "")),
        (
            "It failed at 08:34:02 UTC because its type is to fail while a circuit breaker is open: BreakerOpen:"
            " dependency crm is open."
        ),
    ),
    Cause.INTERRUPTED: (
        ended(TaskState.FAILED, attempt=6, interruptions=6, error=TaskError("Interrupted", "its worker went away", "")),
        (
            "It failed at 08:34:02 UTC: its worker went away 6 times, at last while nothing ran beside it, on"
            " reports@host-1."
        ),
    ),
    Cause.NOT_CLAIMED: (
        ended(TaskState.FAILED, worker=None, error=TaskError("NotClaimed", "SlotsFull", "")),
        "It failed at 08:34:02 UTC: it was sent again and again, and no worker began it: NotClaimed: SlotsFull.",
    ),
    Cause.CANCELLED: (
        ended(TaskState.CANCELLED, run_seconds=12.0, cancel_requested_at=before(12), cancel_requested_by="ada"),
        "It was cancelled by ada at 08:34:02 UTC while attempt 1 ran on reports@host-1, for 12 s.",
    ),
    Cause.PURGED: (
        ended(TaskState.CANCELLED, attempt=0, worker=None, cancel_requested_at=before(12)),
        "It was purged with the queue reports at 08:34:02 UTC, before it started.",
    ),
    Cause.EXPIRED: (
        ended(TaskState.EXPIRED, attempt=0, worker=None, expires_at=before(11)),
        "It expired at 08:34:02 UTC: it was to start by 08:34:01 UTC, and did not.",
    ),
}
"""By cause."""

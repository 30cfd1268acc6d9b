"""What to do, the remedy first, and where it is explained: the same of a cause and of its alert."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from pointsman_service.observe.explain.causes import Cause


class Remedy(NamedTuple):
    """What a person does."""

    step: str
    """Names in braces are filled in (``filled``). A call in it is complete: method, path, and a body that suffices."""
    page: str
    """Of the documentation."""


def filled(step: str, **places: str) -> str:
    """The step with these names for the places that are left open in it, as a path may have them."""
    for place, name in places.items():
        step = step.replace(f"{{{place}}}", quote(name, safe="@:"))
    return step


TROUBLE = "docs/troubleshooting.md#"
_START = "Start one: python -m pointsman_service "
_DIED = ", and read in its log why the last one ended."
_PAGE = "docs/explain.md#"
_DEAD_LETTERS = TROUBLE + "high-failure-rate"
_AGAIN = "run it again: POST /v1/tasks/{task_id}/retry."

RUNS_AGAIN = Remedy("Nothing: it runs again, as the task that its sentence names.", _DEAD_LETTERS)
"""Of a task that was run again already: that is done once."""
REMEDIES: Mapping[Cause, Remedy] = {
    Cause.BROKER_AWAY: Remedy(
        "Bring Redis back, or if it refuses us mend our URL or password; tasks are accepted meanwhile and wait.",
        TROUBLE + "redis-does-not-answer",
    ),
    Cause.BROKER_FULL: Remedy(
        "Give Redis room: find what fills it and take that away, or raise maxmemory.", TROUBLE + "redis-is-full"
    ),
    Cause.BROKER_KEY: Remedy(
        "Rename or delete that key, and find who else writes to this Redis.",
        TROUBLE + "a-key-of-celery-is-of-another-type",
    ),
    Cause.BROKER_CENSUS: Remedy("Nothing.", TROUBLE + "redis-restarted-or-lost-its-data"),
    Cause.NO_RECORDER: Remedy(f"{_START}recorder{_DIED}", TROUBLE + "no-recorder-runs"),
    Cause.NO_DISPATCHER: Remedy(f"{_START}dispatcher{_DIED}", TROUBLE + "no-dispatcher-runs"),
    Cause.NO_RECONCILER: Remedy(f"{_START}reconciler{_DIED}", TROUBLE + "no-reconciler-runs"),
    Cause.RECORDER_BEHIND: Remedy(
        "See why PostgreSQL is slow, or what the recorder logs: one runs and does not keep up.",
        TROUBLE + "the-recorder-is-behind",
    ),
    Cause.CANCELLING: Remedy("Nothing.", TROUBLE + "tasks-hanging"),
    Cause.QUEUE_PAUSED: Remedy(
        "Resume the queue when the reason is over: POST /v1/queues/{queue}/resume.",
        "docs/operating.md#pause-resume-purge",
    ),
    Cause.DISPATCHER_BEHIND: Remedy(
        "See what the dispatcher logs: one runs and does not send.", TROUBLE + "the-dispatcher-is-behind"
    ),
    Cause.NO_WORKER: Remedy("Start a worker whose -Q names the queue.", TROUBLE + "workers-not-processing-tasks"),
    Cause.WORKER_EJECTED: Remedy(
        'Mend that node; then wait, or admit it: POST /v1/workers/{worker}/admit {"reason": "it is mended"}.',
        "docs/breakers.md#workers",
    ),
    Cause.WORKER_LOST: Remedy("Read its machine's log, and start it again.", TROUBLE + "a-worker-was-lost"),
    Cause.UNKNOWN_TASK_TYPE: Remedy(
        "Start a worker of the queue that has the task, give it to those that lack it, or send the task to a queue"
        " whose workers have it.",
        TROUBLE + "an-unknown-task-type",
    ),
    Cause.BREAKER_FORCED_OPEN: Remedy(
        'Let it go when the reason is over: POST /v1/breakers/{scope}/{name}/reset {"reason": "the reason is over"}.',
        "docs/breakers.md#by-hand",
    ),
    Cause.BREAKER_OPEN: Remedy("See what the calls fail with, and mend what is called.", TROUBLE + "a-breaker-is-open"),
    Cause.BREAKER_HALF_OPEN: Remedy("Nothing, unless it opens again.", TROUBLE + "a-task-stays-held"),
    Cause.BREAKER_CLOSED: Remedy("Nothing.", TROUBLE + "a-task-stays-held"),
    Cause.QUARANTINE: Remedy(
        "Look at what the kernel says of the machines of its attempts (out of memory?); to give it up, cancel it:"
        " POST /v1/tasks/{task_id}/cancel.",
        TROUBLE + "a-task-stays-held",
    ),
    Cause.QUEUE_KEPT_EMPTY: Remedy(
        "Nothing; to end it at once, cancel the task in quarantine: POST /v1/tasks/{task_id}/cancel.",
        _PAGE + "quarantine",
    ),
    Cause.ALL_BUSY: Remedy("Start more workers if it is to start sooner.", TROUBLE + "queue-growing"),
    Cause.WINDOW_FULL: Remedy("Start more workers if it is to start sooner.", TROUBLE + "queue-growing"),
    Cause.RETRYING: Remedy("Mend what its last attempt failed with.", TROUBLE + "a-task-stays-retrying"),
    Cause.SCHEDULED: Remedy("Nothing.", TROUBLE + "a-task-stays-scheduled"),
    Cause.RUNNING: Remedy(
        "Nothing; if it hangs, cancel it: POST /v1/tasks/{task_id}/cancel.", TROUBLE + "tasks-hanging"
    ),
    Cause.NOT_BEGUN: Remedy("See the log of the workers of its queue.", TROUBLE + "a-task-stays-queued"),
    Cause.STARTING: Remedy("Nothing.", TROUBLE + "a-task-stays-queued"),
    Cause.NOT_KNOWN: Remedy(
        "Look at the log of dispatcher and reconciler, and at /readyz?verbose.", TROUBLE + "a-task-stays-queued"
    ),
    Cause.SUCCEEDED: Remedy("Nothing.", _PAGE + "succeeded"),
    Cause.ATTEMPTS_SPENT: Remedy(f"Mend what it fails with, then {_AGAIN}", _DEAD_LETTERS),
    Cause.PERMANENT_ERROR: Remedy(f"Mend what it fails with, then {_AGAIN}", _DEAD_LETTERS),
    Cause.FAILED_FAST: Remedy(f"Mend what the circuit breaker is open for, then {_AGAIN}", _DEAD_LETTERS),
    Cause.INTERRUPTED: Remedy(
        f"Look at what the kernel says of the machines of its attempts (out of memory?), then {_AGAIN}",
        _DEAD_LETTERS,
    ),
    Cause.NOT_CLAIMED: Remedy("Look at the log of the worker that its error names.", TROUBLE + "notclaimed"),
    Cause.CANCELLED: Remedy(f"Nothing; if it is wanted after all, {_AGAIN}", _PAGE + "cancelled"),
    Cause.PURGED: Remedy(f"Nothing; if it is wanted after all, {_AGAIN}", "docs/operating.md#pause-resume-purge"),
    Cause.EXPIRED: Remedy(
        f"Nothing; if it is wanted after all, {_AGAIN[:-1]}. It expires no more then.", _PAGE + "expired"
    ),
}

_BUG = TROUBLE + "a-bug-in-a-task-type"
_MENDED_CODE = "roll the task's code back or mend it, and start its workers anew."
OF_SCOPE: Mapping[str, Remedy] = {
    "task_type": Remedy(f"Read that task's traceback; {_MENDED_CODE}", _BUG),
    "worker": Remedy(
        "Look at that node: its disk, its network, its environment. Others do not fail so.",
        TROUBLE + "a-breaker-is-open",
    ),
}
"""Of a circuit breaker that opened, by what it is of; of others as ``Cause.BREAKER_OPEN``."""
OF_SCOPE_LONG: Mapping[str, Remedy] = {
    "task_type": Remedy(f"It does not recover by itself: {_MENDED_CODE}", _BUG),
    "worker": Remedy("It does not recover by itself: mend that node, or replace it.", TROUBLE + "a-breaker-is-open"),
}
"""The same of one that has not closed for long."""

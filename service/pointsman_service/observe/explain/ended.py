"""Why a task ended as it did."""

from pointsman_contract.counted import counted
from pointsman_contract.errors import ErrorType
from pointsman_contract.states import TaskState
from pointsman_service.breaker.last_error import in_a_line
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import Facts
from pointsman_service.observe.explain.facts_of_task import EndFacts
from pointsman_service.observe.explain.reasons import reason, task_link
from pointsman_service.observe.explain.remedies import RUNS_AGAIN
from pointsman_service.observe.spans import moment, short_span
from pointsman_service.observe.tasks.task import Task

_BY_ERROR = {
    ErrorType.INTERRUPTED: Cause.INTERRUPTED,
    ErrorType.NOT_CLAIMED: Cause.NOT_CLAIMED,
    ErrorType.FAILED_FAST: Cause.FAILED_FAST,
    ErrorType.CALL_NOT_MADE: Cause.FAILED_FAST,
}


def ended(facts: Facts) -> Reason:
    """The end of a task that is in a terminal state."""
    task = facts.task
    cause = _cause(task)
    assert task.finished_at is not None
    error = task.error
    said = f"{_SENTENCES[cause](facts)}{_again(task)}"
    return reason(
        cause,
        said,
        EndFacts(
            finished_at=task.finished_at,
            attempt=task.attempt,
            max_attempts=task.max_attempts,
            interruptions=task.interruptions,
            queue_wait_seconds=task.queue_wait_seconds,
            run_seconds=task.run_seconds,
            worker=task.worker,
            error_type=None if error is None else error.type,
            error_message=None if error is None else error.message,
            by=task.cancel_requested_by if cause is Cause.CANCELLED else None,
            expires_at=task.expires_at,
            replayed_as=None if task.replayed_as is None else str(task.replayed_as),
        ),
        task_link(facts),
        since=task.finished_at,
        remedy=None if task.replayed_as is None else RUNS_AGAIN,
        task_id=str(task.id),
    )


def _cause(task: Task) -> Cause:
    match task.state:
        case TaskState.SUCCEEDED:
            return Cause.SUCCEEDED
        case TaskState.EXPIRED:
            return Cause.EXPIRED
        case TaskState.CANCELLED:
            is_purge = task.cancel_requested_at is not None and task.cancel_requested_by is None
            return Cause.PURGED if is_purge else Cause.CANCELLED
    kind = "" if task.error is None else task.error.type
    found = next((cause for error, cause in _BY_ERROR.items() if error == kind), None)
    if found is not None:
        return found
    spent = task.attempt - task.interruptions >= task.max_attempts
    return Cause.ATTEMPTS_SPENT if spent else Cause.PERMANENT_ERROR


def _succeeded(facts: Facts) -> str:
    task = facts.task
    ran = "" if task.run_seconds is None else f" after a run of {short_span(task.run_seconds)}"
    wait = "" if task.queue_wait_seconds is None else f", having waited for {short_span(task.queue_wait_seconds)}"
    which = f", at attempt {task.attempt}" if task.attempt > 1 else ""
    late = " That is more than the target of its queue." if task.sla_met is False else ""
    return f"It succeeded at {_at(facts)}{_on(task)}{ran}{which}{wait}.{late}"


def _spent(facts: Facts) -> str:
    task = facts.task
    which = "its one attempt" if task.max_attempts == 1 else f"the last of its {task.max_attempts} attempts"
    return f"It failed at {_at(facts)}: {which}{_aside(task)} ended with {_error(task)}."


def _permanent(facts: Facts) -> str:
    task = facts.task
    return (
        f"It failed at {_at(facts)}: attempt {task.attempt}{_aside(task)} ended with {_error(task)}, and no other was"
        f" to follow, though {task.max_attempts} were allowed."
    )


def _failed_fast(facts: Facts) -> str:
    return (
        f"It failed at {_at(facts)} because its type is to fail while a circuit breaker is open: {_error(facts.task)}."
    )


def _interrupted(facts: Facts) -> str:
    task = facts.task
    return (
        f"It failed at {_at(facts)}: its worker went away {counted(task.interruptions, 'time')}, at last while nothing"
        f" ran beside it{_aside(task).rstrip(',')}."
    )


def _not_claimed(facts: Facts) -> str:
    return f"It failed at {_at(facts)}: it was sent again and again, and no worker began it: {_error(facts.task)}."


def _cancelled(facts: Facts) -> str:
    task = facts.task
    by = f" by {task.cancel_requested_by}" if task.cancel_requested_by else ""
    if task.run_seconds is not None:
        how = f" while attempt {task.attempt} ran{_on(task)}, for {short_span(task.run_seconds)}"
    elif task.attempt:
        how = f" while it waited, after {counted(task.attempt, 'attempt')}"
    else:
        how = " before it started"
    return f"It was cancelled{by} at {_at(facts)}{how}."


def _purged(facts: Facts) -> str:
    tried = facts.task.attempt
    how = f" while it waited, after {counted(tried, 'attempt')}" if tried else ", before it started"
    return f"It was purged with the queue {facts.task.queue} at {_at(facts)}{how}."


def _expired(facts: Facts) -> str:
    task = facts.task
    limit = "" if task.expires_at is None else f": it was to start by {moment(task.expires_at, facts.now)}"
    tried = f", though {counted(task.attempt, 'attempt')} of it had failed" if task.attempt else ""
    return f"It expired at {_at(facts)}{limit}, and did not{tried}."


_SENTENCES = {
    Cause.SUCCEEDED: _succeeded,
    Cause.ATTEMPTS_SPENT: _spent,
    Cause.PERMANENT_ERROR: _permanent,
    Cause.FAILED_FAST: _failed_fast,
    Cause.INTERRUPTED: _interrupted,
    Cause.NOT_CLAIMED: _not_claimed,
    Cause.CANCELLED: _cancelled,
    Cause.PURGED: _purged,
    Cause.EXPIRED: _expired,
}


def _at(facts: Facts) -> str:
    assert facts.task.finished_at is not None
    return moment(facts.task.finished_at, facts.now)


def _on(task: Task) -> str:
    return f" on {task.worker}" if task.worker else ""


def _aside(task: Task) -> str:
    return f", on {task.worker}," if task.worker else ""


def _error(task: Task) -> str:
    return "no error" if task.error is None else in_a_line(task.error.type, task.error.message)


def _again(task: Task) -> str:
    return "" if task.replayed_as is None else f" It runs again as task {task.replayed_as}."

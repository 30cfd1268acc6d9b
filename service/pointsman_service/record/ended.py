"""What an event says of something that ended, as it is written down."""

from datetime import datetime, timedelta

from pointsman_contract.clean_text import clean
from pointsman_contract.dependencies import folded_key, key_of
from pointsman_contract.errors import ErrorType
from pointsman_contract.events import EventKind, NativeBody, OutcomeBody
from pointsman_contract.retry import MAX_ATTEMPTS
from pointsman_contract.sealing import is_sealed
from pointsman_service.failures.fingerprint import group_of
from pointsman_service.record.events import Event
from pointsman_service.store.reported import End, NativeEnd

_LONGEST_WAIT_SECONDS = 10 * 366 * 86_400.0
_LONGEST_TYPE = 300
"""Characters of an error type: as long as one may ask for one."""
_EXECUTIONS = (EventKind.SUCCEEDED, EventKind.FAILED)


def end_of(event: Event, body: OutcomeBody) -> End:
    """Of ``succeeded``, ``failed`` and ``blocked``."""
    error_type, message, trace = _error_of(body)
    result, progress = body.get("result"), body.get("progress")
    held_by = clean(body["held_by"]) if event.kind is EventKind.BLOCKED else None
    failed = event.kind is EventKind.FAILED and not body.get("interrupted")
    said = (message, trace) if event.plain is None else event.plain
    if event.plain is None and is_sealed(message):
        # Without its key each would be a cause of its own.
        said = ("", "")
    return End(
        id=event.task,
        attempt=event.attempt,
        state=str(event.kind),
        finished_at=event.at,
        started_at=event.started_at,
        worker=clean(body["worker"]),
        run_seconds=body["run_seconds"],
        result=None if result is None else clean(result),
        error_type=error_type if held_by is None else ErrorType.HELD,
        error_message=message,
        error_traceback=trace,
        progress=None if progress is None else clean(progress),
        retry_at=_retry_at(event, body),
        max_attempts=_budget(body.get("max_attempts")),
        breaker=held_by,
        timed_out=event.kind is EventKind.FAILED and bool(body.get("timed_out")),
        executed=event.kind in _EXECUTIONS and not body.get("interrupted"),
        error_group=group_of(clean(body["task_type"]), error_type, *said) if failed else None,
        blamed=_blamed(body) if failed else None,
    )


def expired_end_of(event: Event) -> End:
    """Of ``expired``: the gate found it so, and no attempt began."""
    return End(
        id=event.task,
        attempt=event.attempt,
        state=str(event.kind),
        finished_at=event.at,
        started_at=None,
        worker=None,
        run_seconds=None,
        result=None,
        error_type=None,
        error_message=None,
        error_traceback=None,
    )


def _blamed(body: OutcomeBody) -> str | None:
    """The circuit breaker that is blamed for a failure, a dependency's before its task type's."""
    named = sorted(body.get("blamed") or ())
    return ":".join(folded_key(*key_of(clean(named[0])))) if named else None


def _retry_at(event: Event, body: OutcomeBody) -> datetime | None:
    wait = body.get("retry_in_seconds")
    if event.kind is not EventKind.FAILED or wait is None or body.get("permanent"):
        return None
    assert event.started_at is not None
    ended_at = event.started_at + timedelta(seconds=body["run_seconds"])
    return ended_at + timedelta(seconds=min(max(wait, 0.0), _LONGEST_WAIT_SECONDS))


def native_end_of(event: Event, body: NativeBody) -> NativeEnd:
    """Of ``native``."""
    return NativeEnd(
        clean(event.task),
        clean(body["task_type"]),
        clean(body["queue"]),
        clean(body["worker"]),
        clean(body["state"]),
        body["run_seconds"],
        event.at,
        *_error_of(body),
    )


def _budget(named: float | None) -> int | None:
    """What the column takes; a task may ask for whatever it likes."""
    return None if named is None else max(1, min(int(named), MAX_ATTEMPTS))


def _error_of(body: OutcomeBody | NativeBody) -> tuple[str | None, str | None, str | None]:
    """Type, message and traceback."""
    error = body.get("error")
    if error is None:
        return None, None, None
    return clean(error["type"])[:_LONGEST_TYPE], clean(error["message"]), clean(error["traceback"])

"""What is said of an ended attempt, and the one call to Redis that says it."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.result import AsyncResult, GroupResult

from pointsman.connection import AWAY, RedisConnection
from pointsman.errors import (
    ArgumentsNotValid,
    AttemptSuperseded,
    BreakerOpen,
    ResultNotJSON,
    ResultTooLarge,
    TaskCancelled,
    reported_module,
)
from pointsman.node.keeper import Keeper, Outcome
from pointsman.node.slots import Slot
from pointsman.run.encoding import encode
from pointsman.run.shortening import cut, newest
from pointsman_contract.backoff import backoff_seconds
from pointsman_contract.errors import ErrorType
from pointsman_contract.events import RESULT_BYTES, TRACEBACK_BYTES, Ending, ErrorBody, EventKind

logger = logging.getLogger(__name__)

_MESSAGE_BYTES = 2 * 1024
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
_LOG_SECONDS = 10.0
_PACKAGE = Path(__file__).parents[1]
_LIBRARY = (
    str(_PACKAGE / "base.py"),
    str(_PACKAGE / "run" / "managed_run.py"),
    str(_PACKAGE / "run" / "tracing.py"),
    str(_PACKAGE / "task_type" / "coroutines.py"),
    str(Path(asyncio.__file__).parent),
)
"""Where a run is before it reaches its body."""
_OURS = ("builtins", "pointsman.errors", "billiard.exceptions")
_FACE, _FORMER_FACE = "pointsman", "workers"
"""What the package shows to task authors is reported under the name it had first: stored rows and callers know that."""
_WORDS: Mapping[type[BaseException], ErrorType] = {
    TaskCancelled: ErrorType.CANCELLED,
    BreakerOpen: ErrorType.CALL_NOT_MADE,
    AttemptSuperseded: ErrorType.SUPERSEDED,
    ArgumentsNotValid: ErrorType.ARGUMENTS_NOT_VALID,
    TimeLimitExceeded: ErrorType.TIME_LIMIT,
    SoftTimeLimitExceeded: ErrorType.SOFT_TIME_LIMIT,
}
_ALL_WORDS = frozenset(ErrorType)
_WHATEVER_CLASS = (TaskCancelled, BreakerOpen, AttemptSuperseded)
"""What derives from these means the same to the control plane; from the others, a failure with a name of its own."""


def encode_result(result: Any) -> str | None:
    """The result as JSON text, as ``pointsman.run.encoding`` writes it; None stays None.

    Raises ``ResultNotJSON`` or ``ResultTooLarge``.
    """
    if result is None:
        return None
    try:
        # As in plain Celery, a call or a group that was made is told by its ids.
        text = encode(result.as_tuple() if isinstance(result, (AsyncResult, GroupResult)) else result)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJSON(f"the task returned {type(result).__name__}: {error}"[:500]) from None
    if size > RESULT_BYTES:
        raise ResultTooLarge(f"the result has {size} bytes, {RESULT_BYTES} are allowed")
    return text


def describe(error: BaseException) -> ErrorBody:
    """Type, message and traceback of an exception, as text any database can hold. The frames begin at the body."""
    message = cut(_message(error), _MESSAGE_BYTES)
    frames = _from_the_body(error.__traceback__)
    try:
        lines = traceback.format_exception(type(error), error, frames)
    except Exception:
        lines = traceback.format_tb(frames)
    lines = [cut(line, _MESSAGE_BYTES) for line in lines]
    return {"type": type_name(error), "message": message, "traceback": newest("".join(lines), TRACEBACK_BYTES)}


def type_name(error: BaseException) -> str:
    """The word of the contract, else the class name with its module, unless that is Python's own or ours.

    No other class is told by a word, whatever a project calls its own: of one that would be, a colon stands before the
    class name.
    """
    kind = type(error)
    word = _word(kind)
    if word is not None:
        return word.value
    home, name = reported_module(kind), kind.__qualname__
    if home == _FACE:
        home = _FORMER_FACE
    told = name if home in _OURS else f"{home}.{name}"
    return f"{home}:{name}" if told in _ALL_WORDS else told


def _word(kind: type[BaseException]) -> ErrorType | None:
    word = _WORDS.get(kind)
    if word is None and issubclass(kind, _WHATEVER_CLASS):
        word = next(_WORDS[base] for base in kind.__mro__ if base in _WORDS)
    return word


def _from_the_body(frames: TracebackType | None) -> TracebackType | None:
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_LIBRARY):
        first = first.tb_next
    return first or frames


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message could not be read)"


class Reporter:
    """Reports outcomes on the connection of the process that ran them, and keeps them afterwards."""

    def __init__(self, redis: RedisConnection, keeper: Keeper, slot: Slot) -> None:
        self._redis = redis
        self._keeper = keeper
        self._slot = slot

    def report(self, outcome: Outcome) -> None:
        """Return when Redis has accepted the outcome, however long that takes.

        While Redis is away the outcome is parked in shared memory, so that it outlives this process.
        """
        failures = 0
        logged_at = 0.0
        while True:
            reason = report_once(self._redis, self._keeper, outcome)
            if reason is None:
                self._slot.clear()
                return
            if not logged_at:
                said = [outcome.attempt, outcome.kind, outcome.body, outcome.verdict]
                self._slot.park(json.dumps(said, ensure_ascii=False))
            if time.monotonic() - logged_at > _LOG_SECONDS:
                logger.warning("the outcome of task %s is not accepted yet: %s", outcome.task, reason)
                logged_at = time.monotonic()
            failures += 1
            time.sleep(backoff_seconds(failures, base=_FIRST_WAIT_SECONDS, cap=_LONGEST_WAIT_SECONDS, jitter=0.5))


def report_once(redis: RedisConnection, keeper: Keeper, outcome: Outcome) -> str | None:
    """Report and keep an outcome: None when Redis accepted it, else why not."""
    try:
        keys, head, tail = outcome.call(redis.stamp)
        answer = redis.script("report", keys, head, tail)
    except AWAY as error:
        redis.close()
        return f"Redis does not answer: {error}"
    if answer[0] != "ok":
        return "no epoch is valid on this server"
    keeper.keep(outcome, int(answer[1]), answer[2])
    return None


def failed(
    error: ErrorBody,
    *,
    retry_in_seconds: float | None = None,
    max_attempts: int | None = None,
    timed_out: bool = False,
) -> Ending:
    """The ending of a failed attempt. Without ``retry_in_seconds`` no other follows."""
    ending: Ending = {"error": error}
    if retry_in_seconds is None:
        ending["permanent"] = True
    else:
        ending["retry_in_seconds"] = round(retry_in_seconds, 6)
    if max_attempts is not None:
        ending["max_attempts"] = max_attempts
    if timed_out:
        ending["timed_out"] = True
    return ending


def kind_of(ending: Ending) -> EventKind:
    """Which event an ending is."""
    if "held_by" in ending:
        return EventKind.BLOCKED
    return EventKind.FAILED if "error" in ending else EventKind.SUCCEEDED

"""The documented routes of the submit endpoints."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from pointsman_service.admit.submission import BatchItem, Submission, field_errors, known_fields_only, parse_submission
from pointsman_service.api.answers.answer import Answer
from pointsman_service.api.answers.predicted_wait import EXAMPLE_PREDICTED_WAIT, PredictedWaitView
from pointsman_service.api.bodies.body import check_depth, parse_json, parse_long_json, read_body
from pointsman_service.api.parts import Parts, parts_of
from pointsman_service.api.problems.answering import refusal
from pointsman_service.api.problems.described import RATE_HEADERS, RETRY_AFTER_HEADER, problem_responses
from pointsman_service.api.problems.document import Problem, problem_of
from pointsman_service.api.problems.translation import as_error
from pointsman_service.api.requests.given import idempotency_key, request_body
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.api.requests.preferences import APPLIED_HEADER, prefer_wait
from pointsman_service.api.tasks.intake import check_submission, replayed, take_submission
from pointsman_service.api.tasks.receipt import receipt
from pointsman_service.api.tasks.view import TaskView
from pointsman_service.callers import Caller
from pointsman_service.errors import (
    BatchOverBurst,
    ExpectedFault,
    FieldError,
    InvalidRequest,
    NothingAccepted,
    OutsideKey,
    PointsmanError,
    QuotaFull,
    RateExceeded,
)
from pointsman_service.settings import Settings
from pointsman_service.store.store import StatementRefused
from pointsman_service.store.tasks.submitting import NewTask
from pointsman_service.submit.submitter import REFUSALS, Accepted, Admitted, tasks_of

BATCH_PATH = "/v1/tasks/batch"

router = APIRouter(tags=["tasks"], dependencies=[Depends(known_parameters_only)])

_ITEMS_AT_ONCE = 50
_BYTES_AT_ONCE = 100_000
_EXAMPLE = {"task_type": "echo", "kwargs": {"to": "a@example.org"}, "priority": 8, "tags": {"tenant": "42"}}


_PREFER = prefer_wait(
    "`wait=10`: answer when the task has ended, with 200 and the task, or after so many seconds with 202; at most"
    " `POINTSMAN_WAIT_SECONDS`. `Preference-Applied` says how long it would have waited."
)


class Batch(BaseModel):
    """Up to 1,000 submissions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks: list[BatchItem] = Field(
        min_length=1,
        max_length=Settings.model_fields["batch_items"].default,
        description="Submissions; each may have an idempotency_key.",
    )
    atomic: bool = Field(default=False, description="All or none.")


class _Unread(BaseModel):
    """A batch whose items are yet to be checked, each by itself: one at fault must not refuse the others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks: list[Any] = Field(min_length=1)
    atomic: bool = False


class BatchItemResult(BaseModel):
    """What became of one item: its task, or its problem."""

    status: int = Field(examples=[202])
    task: TaskView | None = None
    problem: Problem | None = None


class BatchResult(BaseModel):
    """A result for each item, in order."""

    accepted: int = Field(examples=[1])
    refused: int = Field(examples=[0])
    results: list[BatchItemResult]


class Verdict(BaseModel):
    """What the submission would become."""

    valid: bool = True
    task_type: str = Field(examples=["echo"])
    queue: str = Field(examples=["high_priority"])
    priority: int = Field(examples=[8])
    timeout_seconds: float = Field(examples=[300.0])
    predicted_wait: PredictedWaitView = Field(
        description="How long it would wait if it were submitted now; of one that is due later, if it were due now.",
        examples=[EXAMPLE_PREDICTED_WAIT],
    )


def _respond(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(answer.headers)
    return response


@router.post(
    "/v1/tasks",
    operation_id="submit_task",
    summary="Submit a task",
    description="Answers 202 once the task is durable: it will reach exactly one terminal state. "
    "With an `Idempotency-Key` the same call again answers 200 with the first task, also when a new one would be "
    "refused by now. Equal bodies may be written differently; with another body it is 422 and names the first task.",
    status_code=202,
    response_model=TaskView,
    responses={
        200: {
            "model": TaskView,
            "description": "The task this Idempotency-Key stands for; or the task, which has ended (`Prefer: wait`).",
            "headers": APPLIED_HEADER,
        },
        202: {"headers": APPLIED_HEADER | RATE_HEADERS},
        **problem_responses(400, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra=request_body(Submission, _EXAMPLE) | {"parameters": [*idempotency_key()["parameters"], _PREFER]},
)
async def submit_task(request: Request) -> Response:
    """The same as ``Intake``, for whoever mounts the application without it."""
    parts = parts_of(request)
    answer = await take_submission(parts, request.scope, request.receive)
    answer.headers.extend(parts.rates.fields(request.scope["caller"]))
    return _respond(answer)


@router.post(
    "/v1/tasks/validate",
    operation_id="validate_task",
    summary="Check a submission and write nothing",
    response_model=Verdict,
    responses=problem_responses(400, 413, 415, 422, QuotaFull, 503),
    openapi_extra=request_body(Submission, _EXAMPLE),
)
async def validate_task(request: Request) -> Response:
    """Every check of a submission."""
    return _respond(await check_submission(parts_of(request), request.scope, request.receive))


@router.post(
    BATCH_PATH,
    operation_id="submit_batch",
    summary="Submit up to 1,000 tasks in one commit",
    description="A result for each item, in order. 202: all were accepted; 207: some; 422: none, and 429 where some of "
    "them would be later; `results` of the problem says why of each. With `atomic`, one refused item refuses all, and "
    "those that were not at fault are null there. What no JSON reader takes alike (NaN, a name twice, far too many "
    "values or levels) refuses all of the body. Each item counts as one task of its caller's "
    "rate; those that are over it are refused, the last ones first. `Retry-After` of a 207 says when the first "
    "of those that were refused for now may pass.",
    status_code=202,
    response_model=BatchResult,
    responses={
        202: {"headers": RATE_HEADERS},
        207: {
            "model": BatchResult,
            "description": "Some items were refused.",
            "headers": RATE_HEADERS | RETRY_AFTER_HEADER,
        },
        **problem_responses(400, 413, 415, 422, 429, 503),
    },
    openapi_extra=request_body(Batch, {"tasks": [_EXAMPLE, _EXAMPLE | {"idempotency_key": "order-17"}]}),
)
async def submit_batch(request: Request) -> Response:
    """Check every item, store those that pass in one commit."""
    return _respond(await take_batch(parts_of(request), request.scope, request.receive))


async def take_batch(parts: Parts, scope: Any, receive: Any) -> Answer:
    """A batch, from its bytes to its receipts. Raises ``PointsmanError``."""
    body = await read_body(scope, receive, parts.room)
    with parts.room.hold(len(body)):
        async with parts.turns.turn(len(body)):
            return await _take_batch(parts, scope, body)


async def _take_batch(parts: Parts, scope: Any, body: bytes) -> Answer:
    # The items stand two levels deeper than a single submission. How deep each is, is found where it is checked.
    depth = parts.settings.json_depth + 2
    is_long = len(body) > parts.settings.body_bytes
    value = await parse_long_json(body, depth, parts.pace) if is_long else parse_json(body, depth, of_many=True)
    try:
        batch = _parse_batch(value, parts.settings.batch_items)
    except InvalidRequest:
        # Of what is no batch it is said before anything else, as everywhere.
        await parts.pace.step(lambda: check_depth(value, depth))
        raise
    if parts.tracing is None:
        return await _take_items(parts, scope, body, batch)
    with parts.tracing.submission(scope) as span:
        span.set_attribute("messaging.batch.message_count", len(batch.tasks))
        return await _take_items(parts, scope, body, batch)


async def _take_items(parts: Parts, scope: Any, body: bytes, batch: _Unread) -> Answer:
    key, traceparent = read_headers(scope)
    if key is not None:
        raise InvalidRequest("A batch takes an idempotency_key per item, not the header.")
    # Other requests are not to wait for a whole batch.
    at_once = max(1, min(_ITEMS_AT_ONCE, _BYTES_AT_ONCE * len(batch.tasks) // len(body)))
    admitted = await _admit_all(parts, scope["caller"], batch.tasks, traceparent, at_once)
    if not batch.atomic or not _refused_ones(admitted):
        admitted = await parts.submitter.within_rate(scope["caller"], admitted, atomic=batch.atomic)
    if batch.atomic and _refused_ones(admitted):
        parts.submitter.abandon(tasks_of(admitted))
        for refused in _refused_ones(admitted):
            parts.refusals.count(refused)
        return _nothing_accepted(admitted, scope["path"])
    tasks = tasks_of(admitted)
    stored = await parts.submitter.submit_batch(scope["caller"], tasks, atomic=batch.atomic) if tasks else []
    outcomes = stored if len(stored) == len(admitted) else _in_order(admitted, iter(stored))
    refusals = 0
    results = []
    for outcome in outcomes:
        text = _fresh_result(outcome)
        if text is None:
            taken, text = await _item_result(parts, outcome, scope["path"])
            refusals += not taken
        results.append(text)
    texts = b",".join(results)
    if refusals == len(results):
        return _all_failed(outcomes, texts, scope["path"])
    answer = b'{"accepted":%d,"refused":%d,"results":[%b]}' % (len(results) - refusals, refusals, texts)
    headers = [(b"content-type", b"application/json"), *parts.rates.fields(scope["caller"])]
    if not refusals:
        return Answer(202, headers, answer)
    return Answer(207, [*headers, *_retry_after(outcomes)], answer)


def _in_order(
    admitted: Sequence[Admitted], stored: Iterator[Accepted | PointsmanError]
) -> list[Accepted | PointsmanError]:
    return [next(stored) if isinstance(task, NewTask) else task for task in admitted]


def _retry_after(outcomes: Sequence[Accepted | PointsmanError]) -> list[tuple[bytes, bytes]]:
    """Of the items that were refused for now, when the first may pass."""
    errors = (outcome for outcome in outcomes if isinstance(outcome, PointsmanError))
    asked = [error.retry_after_seconds for error in errors if error.retry_after_seconds is not None]
    return [(b"retry-after", b"%d" % max(1, math.ceil(min(asked))))] if asked else []


def _parse_batch(value: Any, most: int) -> _Unread:
    known_fields_only(Batch, value)
    try:
        batch = _Unread.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(errors=list(field_errors(error))) from None
    if len(batch.tasks) > most:
        raise InvalidRequest(errors=[FieldError(pointer="/tasks", detail=f"has more than {most} items")])
    return batch


async def _admit_all(
    parts: Parts, caller: Caller, items: list[Any], traceparent: str | None, at_once: int
) -> Sequence[Admitted]:
    """Each item checked; one that is refused by now and was accepted with its key before is what it became. Raises
    ``OutsideKey`` when the caller does not reach one of them.
    """
    admitted: list[Admitted] = []
    keyed: dict[int, BatchItem] = {}
    for place, item in enumerate(items):
        if place % at_once == 0:
            await asyncio.sleep(0)
        try:
            submission = parse_submission(item, BatchItem)
        except InvalidRequest as error:
            admitted.append(_alone(error))
            continue
        try:
            key = submission.idempotency_key
            admitted.append(await parts.submitter.admit(caller, submission, key, traceparent))
        except OutsideKey as error:
            parts.submitter.abandon(tasks_of(admitted))
            raise OutsideKey(f"Item {place} of the batch: {error.detail}") from None
        except REFUSALS as error:
            admitted.append(_alone(error))
            if submission.idempotency_key is not None:
                keyed[place] = submission
    calls = [(submission, submission.idempotency_key or "") for submission in keyed.values()]
    for place, earlier in zip(keyed, await parts.submitter.earlier(caller, calls), strict=True):
        admitted[place] = earlier or admitted[place]
    return admitted


def _alone(error: PointsmanError) -> PointsmanError:
    """The error without the frames it came from: they hold the whole batch, and this list, until a collection."""
    error.__context__ = None
    return error.with_traceback(None)


def _fresh_result(outcome: Accepted | PointsmanError) -> bytes | None:
    """The result of an item whose task was made just now, as JSON text; None for any other."""
    if isinstance(outcome, PointsmanError) or outcome.replayed or outcome.submitted_at is None or outcome.task is None:
        return None
    return b'{"status":202,"task":%b}' % receipt(outcome.task, outcome.submitted_at)


async def _item_result(parts: Parts, outcome: Accepted | PointsmanError, path: str) -> tuple[bool, bytes]:
    """Whether any other item was accepted, and its result as JSON text."""
    if isinstance(outcome, Accepted):
        try:
            return True, b'{"status":200,"task":%b}' % await replayed(parts, outcome, listed=True)
        except PointsmanError as error:
            outcome = error
        except (ExpectedFault, StatementRefused) as error:
            outcome = type(as_error(error))("The task of this key is stored and cannot be read now. Ask again.")
    parts.refusals.count(outcome)
    return False, to_json({"status": outcome.status, "problem": problem_of(outcome, path)})


def _refused_ones(admitted: Sequence[Admitted]) -> list[PointsmanError]:
    return [task for task in admitted if isinstance(task, PointsmanError)]


def _nothing_accepted(admitted: Sequence[Admitted], path: str) -> Answer:
    """Of an atomic batch. One that its caller's rate refuses is answered with that."""
    problems = (
        {"status": task.status, "problem": problem_of(task, path)} if isinstance(task, PointsmanError) else None
        for task in admitted
    )
    reason: PointsmanError = NothingAccepted("An item was refused and the batch is atomic; nothing was stored.")
    for refused in _refused_ones(admitted):
        if isinstance(refused, RateExceeded | BatchOverBurst):
            reason = refused
    return _refused(reason, b",".join(to_json(problem) for problem in problems), path)


def _all_failed(outcomes: list[Accepted | PointsmanError], results: bytes, path: str) -> Answer:
    """Nothing was accepted: 422, unless the fault is ours, or it may be another time."""
    refused: PointsmanError = NothingAccepted()
    for outcome in outcomes:
        if isinstance(outcome, PointsmanError) and outcome.status >= 500:
            raise outcome
        if isinstance(outcome, RateExceeded):
            refused = outcome
    return _refused(refused, results, path)


def _refused(error: PointsmanError, results: bytes, path: str) -> Answer:
    document = to_json(problem_of(error, path))
    body = b'%b,"results":[%b]}' % (document[:-1], results)
    return refusal(error, path)._replace(body=body)

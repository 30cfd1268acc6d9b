"""The submit endpoints. ``Intake`` answers ``POST /v1/tasks`` straight from ASGI: it is the one hot route, and the
framework's own share of it would be the largest. The same function stands behind the documented route.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from service.admit.submission import parse_submission
from service.api.answers import moment
from service.api.body import parse_json, read_body
from service.api.parts import Parts
from service.api.problems import problem_headers, problem_of
from service.api.task_view import task_view
from service.errors import BadRequest, PointsmanError, Unavailable, UnknownTask
from service.loops import ExpectedFault
from service.store import reading
from service.store.submitting import NewTask
from service.submit.submitter import Accepted
from service.telemetry import logger

log = logger(__name__)

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_KEY = 255
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A response, whole."""

    status: int
    headers: Headers
    body: bytes


async def take_submission(parts: Parts, scope: Any, receive: Any) -> Answer:
    """One submission, from its bytes to its receipt. Raises ``PointsmanError``."""
    body = await read_body(scope, receive, parts.settings.body_bytes)
    submission = parse_submission(parse_json(body, parts.settings.json_depth))
    key, traceparent = read_headers(scope)
    accepted = await parts.submitter.submit(submission, key, traceparent)
    return await _receipt(parts, accepted)


async def check_submission(parts: Parts, scope: Any, receive: Any) -> Answer:
    """Every check of a submission, and nothing written. Raises ``PointsmanError``."""
    body = await read_body(scope, receive, parts.settings.body_bytes)
    submission = parse_submission(parse_json(body, parts.settings.json_depth))
    key, traceparent = read_headers(scope)
    task = await parts.submitter.admit(submission, key, traceparent)
    verdict = {
        "valid": True,
        "task_type": task.task_type,
        "queue": task.queue,
        "priority": task.priority,
        "timeout_seconds": task.timeout_seconds,
    }
    return Answer(200, [_JSON], to_json(verdict))


async def view_of(parts: Parts, accepted: Accepted) -> dict[str, Any]:
    """The Task of an accepted submission; a replay is read from its row. Raises ``UnknownTask`` when that is gone."""
    if accepted.submitted_at is not None and not accepted.replayed:
        return task_view(accepted.task.as_row(accepted.submitted_at))
    async with parts.store.statement() as connection:
        row = await reading.task(connection, accepted.task_id)
    if row is None:
        raise UnknownTask("The task this Idempotency-Key stands for is no longer kept.")
    return task_view(row)


async def _receipt(parts: Parts, accepted: Accepted) -> Answer:
    location = (b"location", b"/v1/tasks/" + accepted.task_id.encode())
    body = plain_receipt(accepted) or to_json(await view_of(parts, accepted))
    if accepted.replayed:
        return Answer(200, [_JSON, location, (b"idempotency-replayed", b"true")], body)
    return Answer(202, [_JSON, location], body)


def plain_receipt(accepted: Accepted) -> bytes | None:
    """The Task as JSON, made from the text its row holds; None unless it is new and asks for nothing special."""
    task, submitted_at = accepted.task, accepted.submitted_at
    if submitted_at is None or accepted.replayed or task.tags is not None:
        return None
    wishes = (task.scheduled_at, task.delay_seconds, task.expires_at, task.requested_timeout_seconds)
    if wishes != _NO_WISHES:
        return None
    at = _quoted_moment(submitted_at)
    template = _template(task.task_type, task.queue, task.priority, task.sla_seconds, task.sent_epoch is not None)
    return template % {
        b"id": task.id.encode(),
        b"args": task.args.encode(),
        b"kwargs": task.kwargs.encode(),
        b"submitted_at": at,
        b"due_at": at,
    }


_NO_WISHES = (None, None, None, None)


@lru_cache(maxsize=16)
def _quoted_moment(at: datetime) -> bytes:
    """All tasks of one commit share it."""
    return to_json(moment(at))


@lru_cache(maxsize=4096)
def _template(task_type: str, queue: str, priority: int, sla_seconds: float, sent: bool) -> bytes:
    """What such tasks have in common. ``task_view`` itself makes it, so that no receipt can differ from the Task."""
    now = datetime.now(UTC)
    task = NewTask(
        id="",
        task_type=task_type,
        queue=queue,
        priority=priority,
        args="[]",
        kwargs="{}",
        tags=None,
        caller="",
        scheduled_at=None,
        delay_seconds=None,
        expires_at=None,
        timeout_seconds=0.0,
        requested_timeout_seconds=None,
        sla_seconds=sla_seconds,
        traceparent=None,
        key=None,
        fingerprint=None,
        sent_epoch=0 if sent else None,
    )
    own = ("id", "args", "kwargs", "submitted_at", "due_at")
    text = to_json(task_view(task.as_row(now), now) | {name: f"\x00{name}" for name in own}).replace(b"%", b"%%")
    for name in own:
        field = f"%({name})b" if name != "id" else f'"%({name})b"'
        text = text.replace(to_json(f"\x00{name}"), field.encode())
    return text


def read_headers(scope: Any) -> tuple[str | None, str | None]:
    """The Idempotency-Key and the traceparent. Raises ``BadRequest`` for a key that is none."""
    key = traceparent = None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            key = _key(value.decode("latin-1"))
        elif name == b"traceparent":
            text = value.decode("latin-1").strip()
            traceparent = text if _TRACEPARENT.fullmatch(text) else None
    return key, traceparent


def _key(text: str) -> str:
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key must be a string of 1 to {_LONGEST_KEY} printable characters.")
    return key


async def answer_or_problem(handler: Any, parts: Parts, scope: Any, receive: Any) -> Answer:
    """What ``handler`` answers; an error as its problem document."""
    try:
        answer: Answer = await handler(parts, scope, receive)
    except PointsmanError as error:
        return problem_answer(error, scope["path"])
    except ExpectedFault as error:
        log.warning("a submission met a fault", reason=str(error))
        return problem_answer(Unavailable(), scope["path"])
    return answer


def problem_answer(error: PointsmanError, path: str) -> Answer:
    """An error as a response."""
    headers = [_PROBLEM, *((name.lower().encode(), value.encode()) for name, value in problem_headers(error).items())]
    return Answer(error.status, headers, to_json(problem_of(error, path)))


class Intake:
    """ASGI: answers ``POST /v1/tasks`` itself and hands everything else to ``application``."""

    def __init__(self, application: Any, parts: Parts) -> None:
        self._application = application
        self._parts = parts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        send = _echo_request_id(scope, send)
        if scope["path"] != "/v1/tasks" or scope["method"] != "POST" or scope["query_string"]:
            await self._application(scope, receive, send)
            return
        try:
            answer = await answer_or_problem(take_submission, self._parts, scope, receive)
        except Exception:
            log.exception("a submission failed")
            answer = problem_answer(
                PointsmanError("Something went wrong on our side; it has been logged."), scope["path"]
            )
        length = (b"content-length", str(len(answer.body)).encode())
        await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, length]})
        await send({"type": "http.response.body", "body": answer.body})


def _echo_request_id(scope: Any, send: Any) -> Any:
    """``send``, with the request's X-Request-ID in the answer when it brought a sane one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and len(value) <= 128 and value.isascii() and value.decode().isprintable():
            break
    else:
        return send

    async def echoing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", value)]
        await send(message)

    return echoing

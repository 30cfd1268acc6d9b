"""The submit endpoints. ``Intake`` answers ``POST /v1/tasks`` straight from ASGI: it is the one hot route, and the
framework's own share of it would be the largest. The same function stands behind the documented route.
"""

from typing import Any

from pydantic_core import to_json

from pointsman_service.access.checking import check_right
from pointsman_service.admit.submission import Submission, parse_submission
from pointsman_service.api.answers.answer import AT_ONCE, GUARD_LINES, Answer, AtOnce, json_bytes
from pointsman_service.api.answers.predicted_wait import predicted_wait
from pointsman_service.api.bodies.body import parse_json, read_body
from pointsman_service.api.parts import Parts, close_streams
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.api.requests.preferences import has_preference
from pointsman_service.api.tasks.awaiting import answer_when_ended
from pointsman_service.api.tasks.receipt import receipt
from pointsman_service.api.tasks.view import task_view
from pointsman_service.callers import Caller
from pointsman_service.errors import PointsmanError, UnknownTask
from pointsman_service.observe.prediction.prediction import Prediction, Reason
from pointsman_service.store.tasks import reading
from pointsman_service.submit.submitter import REFUSALS, Accepted
from pointsman_service.tracing import Tracing

_VERDICT = ("task_type", "queue", "priority", "timeout_seconds")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON = (b"content-type", b"application/json")
_SUBMIT = "submit_task"


async def take_submission(parts: Parts, scope: Any, receive: Any) -> Answer:
    """One submission, from its bytes to its receipt, without what is left of its caller's rate. Raises
    ``PointsmanError``.
    """
    body = await read_body(scope, receive, parts.room)
    submission = parse_submission(parse_json(body, parts.settings.json_depth), Submission)
    if parts.tracing is not None:
        accepted = await _submit_traced(parts, parts.tracing, scope, submission)
    else:
        key, traceparent = read_headers(scope)
        accepted = await parts.submitter.submit(scope["caller"], submission, key, traceparent)
    answer = await _receipt(parts, accepted)
    if has_preference(scope):
        answer = await answer_when_ended(parts, scope, accepted.task_id, answer)
    if parts.sealer is None:
        return answer
    # Nobody is asked whose that is: the task is stored, and nothing that fails now is an error of its caller.
    return answer._replace(body=parts.sealer.opened_json(answer.body, accepted.task_id.__eq__))


async def _submit_traced(parts: Parts, tracing: Tracing, scope: Any, submission: Submission) -> Accepted:
    with tracing.submission(scope) as span:
        key, traceparent = read_headers(scope)
        accepted = await parts.submitter.submit(scope["caller"], submission, key, traceparent)
        if accepted.task is not None:
            tracing.describe(span, accepted.task.id, accepted.task.task_type, accepted.task.queue)
        return accepted


async def check_submission(parts: Parts, scope: Any, receive: Any) -> Answer:
    """Every check of a submission, and nothing written. Raises ``PointsmanError``."""
    body = await read_body(scope, receive, parts.room)
    submission = parse_submission(parse_json(body, parts.settings.json_depth), Submission)
    key, traceparent = read_headers(scope)
    said = None
    try:
        task = await parts.submitter.admit(scope["caller"], submission, key, traceparent, counts=False)
    except REFUSALS:
        verdict = None if key is None else await _first_call(parts, scope["caller"], submission, key)
        if verdict is None:
            raise
    else:
        verdict = {name: getattr(task, name) for name in _VERDICT}
        if await parts.submitter.is_held_by_a_breaker(task):
            said = Prediction.unsaid(Reason.BREAKER_OPEN)
    if said is None:
        said = parts.views.predictions.of(verdict["queue"], verdict["priority"])
    return Answer(200, [_JSON], to_json({"valid": True} | verdict | {"predicted_wait": predicted_wait(said)}))


async def _first_call(parts: Parts, caller: Caller, submission: Submission, key: str) -> dict[str, Any] | None:
    """The verdict on a submission that is refused by now and would get the task of its first call."""
    (earlier,) = await parts.submitter.earlier(caller, [(submission, key)])
    if isinstance(earlier, PointsmanError):
        raise earlier
    if earlier is None:
        return None
    async with parts.store.statement() as connection:
        row = await reading.task(connection, earlier.task_id)
    return None if row is None else {name: row[name] for name in _VERDICT}


async def replayed(parts: Parts, accepted: Accepted, *, listed: bool = False) -> bytes:
    """The Task a taken key stands for, as JSON text; ``listed``: as one of many, long payloads cut. Raises
    ``UnknownTask`` when it is no longer kept.
    """
    async with parts.store.statement() as connection:
        row = await reading.task(connection, accepted.task_id, listed=listed)
    if row is None:
        raise UnknownTask("The task this Idempotency-Key stands for is no longer kept.")
    return json_bytes(task_view(row))


async def _receipt(parts: Parts, accepted: Accepted) -> Answer:
    location = (b"location", b"/v1/tasks/" + accepted.task_id.encode())
    if accepted.replayed or accepted.submitted_at is None or accepted.task is None:
        body = await replayed(parts, accepted)
        return Answer(200, [_JSON, location, (b"idempotency-replayed", b"true")], body)
    return Answer(202, [_JSON, location], receipt(accepted.task, accepted.submitted_at))


class Intake:
    """ASGI: answers ``POST /v1/tasks`` itself and hands everything else to ``application``, as it does with one from
    somebody who may not see what is in the answer.
    """

    def __init__(self, application: Any, parts: Parts) -> None:
        self.application = application
        """The plain, documented application behind it."""
        self._parts = parts

    def close_streams(self) -> None:
        """End every stream to a listener: the process is about to stop."""
        close_streams(self._parts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request. Raises ``PointsmanError`` and whatever else keeps it from being answered."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        # It knows the request, which knows this scope: left there, both would stay until a collection.
        at_once: AtOnce | None = scope.pop(AT_ONCE, None)
        if (
            scope["path"] != "/v1/tasks"
            or scope["method"] != "POST"
            or scope["query_string"]
            or not scope["caller"].reads_payloads
        ):
            await self.application(scope, receive, send)
            if scope["method"] not in _SAFE:
                self._parts.changes.changed_here()
            return
        check_right(scope["caller"], _SUBMIT)
        if self._parts.tracing is None:
            answer = await take_submission(self._parts, scope, receive)
        else:
            with self._parts.tracing.request(scope) as span:
                answer = await take_submission(self._parts, scope, receive)
                span.set_attribute("http.response.status_code", answer.status)
        rates, caller = self._parts.rates, scope["caller"]
        lines = GUARD_LINES
        if rates.default is not None or caller.rate is not None:
            lines += rates.lines(caller)
        if at_once is None or not at_once(
            answer.status, [*answer.headers, (b"x-request-id", scope["request_id"])], answer.body, lines
        ):
            answer.headers.extend(rates.fields(caller))
            await answer.send_to(send)
        self._parts.changes.changed_here()

"""What can go wrong: the root of every error of the service, and what a caller is told, each by the name of its fact
and with its HTTP status.

The docstring of a class that a caller is told is its default detail. ``pointsman_service.api.problems`` turns them into
problem documents.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, TypedDict

FAULTS_SHOWN: Final = 20
"""Faults of one request that are told; nobody looks for more."""


class FieldError(TypedDict):
    """One fault of one field."""

    pointer: str
    """JSON pointer (RFC 6901) into the request body; empty for the whole."""
    detail: str


class ServiceError(Exception):
    """The root of every error that this package raises."""


class ExpectedFault(ServiceError):
    """A dependency is away: logged in one line, without a traceback."""


class PointsmanError(ServiceError):
    """Something went wrong here; it was logged."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    scope: str | None = None
    """The one that whoever asked lacks."""
    challenge: str | None = None
    """What ``WWW-Authenticate`` says of it after ``Bearer``; None: there is none."""
    prediction: Mapping[str, object] | None = None
    """How long the task would have waited, where that is why it was refused."""
    rate_limit: tuple[str, str] | None = None
    """``RateLimit-Policy`` and ``RateLimit``, where a limit of the caller is why."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[FieldError] | None = None,
        retry_after_seconds: float | None = None,
        task_id: str | None = None,
    ) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or "").partition("\n\n")[0].split())
        self.errors = errors or []
        self.retry_after_seconds = retry_after_seconds
        self.task_id = task_id
        super().__init__(self.detail)


class MalformedJson(PointsmanError):
    """The body is not valid JSON."""

    status, code, title = 400, "malformed-json", "Malformed JSON"


class BadRequest(PointsmanError):
    """The request is not valid HTTP for this operation."""

    status, code, title = 400, "bad-request", "Bad request"


class Unauthorized(PointsmanError):
    """It is not known who asks."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class KeyMissing(Unauthorized):
    """A key is needed for this, and none came: send it as Authorization: Bearer pm_…."""

    code, title, challenge = "key-missing", "Key missing", ""


class KeyUnknown(Unauthorized):
    """Nobody has this key."""

    code, title, challenge = "key-unknown", "Key unknown", 'error="invalid_token", error_description="unknown"'


class KeyExpired(Unauthorized):
    """The key has expired, or the time is over in which it goes on beside the one that replaced it."""

    code, title, challenge = "key-expired", "Key expired", 'error="invalid_token", error_description="expired"'


class KeyRevoked(Unauthorized):
    """The key was revoked."""

    code, title, challenge = "key-revoked", "Key revoked", 'error="invalid_token", error_description="revoked"'


class TokenInvalid(Unauthorized):
    """What was shown is no token of the configured issuer for this API."""

    code, title, challenge = "token-invalid", "Token invalid", 'error="invalid_token", error_description="invalid"'


class TokenExpired(Unauthorized):
    """The token has expired: get another one from its issuer."""

    code, title, challenge = "token-expired", "Token expired", 'error="invalid_token", error_description="expired"'


class LinkUnknown(Unauthorized):
    """The link opens nothing: it is not whole, is of another task, or every link was ended."""

    code, title = "link-unknown", "Link unknown"


class LinkExpired(PointsmanError):
    """The link has ended: ask whoever gave it to you for another one."""

    status, code, title = 410, "link-expired", "Link expired"


class SignInFailed(Unauthorized):
    """The issuer did not let the browser in."""

    code, title = "sign-in-failed", "Sign-in failed"


class CrossSite(PointsmanError):
    """A page of another site may not ask this of a browser; POINTSMAN_ALLOWED_ORIGINS names the pages that may."""

    status, code, title = 403, "cross-site", "Cross-site request"


class ScopeMissing(PointsmanError):
    """The key, or the roles of the token, lack the right for this."""

    status, code, title = 403, "scope-missing", "Scope missing"

    @classmethod
    def of(cls, scope: str, *, roles: bool = False) -> Self:
        """That this one is missing; ``roles``: to whom the issuer knows by them."""
        lacking = "The roles of the token lack" if roles else "The key lacks"
        missing = cls(f"{lacking} the scope {scope}, which this takes.")
        missing.scope = scope
        missing.challenge = f'error="insufficient_scope", scope="{scope}"'
        return missing


class OutsideKey(PointsmanError):
    """The key is narrowed, and this is not within what it reaches."""

    status, code, title = 403, "outside-key", "Outside of what the key reaches"


class GrantsMore(PointsmanError):
    """A key cannot be given more rights than its maker has, and lasts no longer."""

    status, code, title = 403, "grants-more", "Grants more rights"


class StaleForm(PointsmanError):
    """The form was not made for this browser: load the page again and send it from there. Nothing was done."""

    status, code, title = 403, "stale-form", "Stale form"


class UnknownHost(PointsmanError):
    """The API does not answer to that name."""

    status, code, title = 421, "unknown-host", "Unknown host"


class NotFound(PointsmanError):
    """There is no such resource."""

    status, code, title = 404, "not-found", "Not found"


class UnknownTask(NotFound):
    """There is no task with this id."""

    code, title = "unknown-task", "Unknown task"


class UnknownQueueName(NotFound):
    """There is no such queue."""

    code, title = "no-such-queue", "No such queue"


class UnknownWorker(NotFound):
    """There is no worker with this name."""

    code, title = "unknown-worker", "Unknown worker"


class MethodNotAllowed(PointsmanError):
    """The resource does not answer that method."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class KeyInUse(PointsmanError):
    """The first call with this Idempotency-Key has not committed yet; ask again."""

    status, code, title = 409, "idempotency-key-in-use", "Idempotency-Key in use"


class TaskFinished(PointsmanError):
    """The task has ended already."""

    status, code, title = 409, "task-finished", "Task finished"


class TaskNotFinished(PointsmanError):
    """The task has not ended."""

    status, code, title = 409, "task-not-finished", "Task not finished"


class TaskNotWaiting(PointsmanError):
    """The task does not wait: only what waits can be changed."""

    status, code, title = 409, "task-not-waiting", "Task not waiting"


class TaskSucceeded(PointsmanError):
    """The task has succeeded: submit it anew to run it again."""

    status, code, title = 409, "task-succeeded", "Task succeeded"


class TaskReplayed(PointsmanError):
    """The task was run again already: look at the task it became, and retry that one."""

    status, code, title = 409, "task-replayed", "Task replayed"


class UnknownReplay(NotFound):
    """There is no replay with this id."""

    code, title = "unknown-replay", "Unknown replay"


class UnknownTaskAct(NotFound):
    """There is no act on many tasks with this id."""

    code, title = "unknown-task-act", "Unknown act"


class UnknownAlert(NotFound):
    """There is no alert with this id."""

    code, title = "unknown-alert", "Unknown alert"


class UnknownErrorGroup(NotFound):
    """There is no error group with this id."""

    code, title = "unknown-error-group", "Unknown error group"


class NoSuchKey(NotFound):
    """There is no key with this id."""

    code, title = "no-such-key", "No such key"


class UnknownChannel(NotFound):
    """No alert channel has this name."""

    code, title = "unknown-alert-channel", "Unknown alert channel"


class AlertResolved(PointsmanError):
    """The alert is over already."""

    status, code, title = 409, "alert-resolved", "Alert resolved"


class KeyNameTaken(PointsmanError):
    """A key has this name already: rotate that one, or revoke it first."""

    status, code, title = 409, "key-name-taken", "Name of a key taken"


class KeyNotLive(PointsmanError):
    """The key is revoked or was rotated already."""

    status, code, title = 409, "key-not-live", "Key not live"


class CountDiffers(PointsmanError):
    """There are more or fewer tasks than expected; nothing was done."""

    status, code, title = 409, "count-differs", "Count differs"


class PolicyChanged(PointsmanError):
    """The policy was changed since the ETag that If-Match names was given: read it again."""

    status, code, title = 412, "policy-changed", "Policy changed"


class BodyTooLarge(PointsmanError):
    """The body is longer than this operation takes."""

    status, code, title = 413, "body-too-large", "Body too large"


class UnsupportedMediaType(PointsmanError):
    """The body must be JSON and the Content-Type application/json."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class TooSlow(PointsmanError):
    """The request took too long to arrive."""

    status, code, title = 408, "too-slow", "Too slow"


class PathTooLong(PointsmanError):
    """The path with its query is too long."""

    status, code, title = 414, "path-too-long", "Path too long"


class HeadTooLarge(PointsmanError):
    """The header fields of the request are too many or too long."""

    status, code, title = 431, "head-too-large", "Head too large"


class InvalidRequest(PointsmanError):
    """Some fields are not valid."""

    status, code, title = 422, "invalid-request", "Invalid request"


class UnknownTaskType(InvalidRequest):
    """No worker has published this task type."""

    code, title = "unknown-task-type", "Unknown task type"


class InvalidArguments(InvalidRequest):
    """The arguments do not fit the task type's schema."""

    code, title = "invalid-arguments", "Invalid arguments"


class UnknownQueue(InvalidRequest):
    """There is no such queue."""

    code, title = "unknown-queue", "Unknown queue"


class KeyReused(InvalidRequest):
    """The Idempotency-Key was used with another body."""

    code, title = "idempotency-key-reused", "Idempotency-Key reused"


class TooManyBreakers(InvalidRequest):
    """There are too many circuit breakers already."""

    code, title = "too-many-breakers", "Too many circuit breakers"


class BatchOverBurst(InvalidRequest):
    """More tasks are to be stored together than the caller may submit at once; nothing was stored."""

    code, title = "batch-over-burst", "Batch over the burst"


class NothingAccepted(InvalidRequest):
    """No task of the batch was accepted."""

    code, title = "nothing-accepted", "Nothing accepted"


class RateExceeded(PointsmanError):
    """The caller has submitted as many tasks as its rate allows; nothing was stored. Try again later."""

    status, code, title = 429, "rate-exceeded", "Rate exceeded"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: float = 1.0, **more: Any) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds, **more)


class QuotaFull(RateExceeded):
    """As many tasks of the caller wait as its quota allows; nothing was stored. Try again later."""

    code, title = "quota-full", "Quota full"


class Unavailable(PointsmanError):
    """Pointsman cannot take this now; nothing was stored. Try again."""

    status, code, title = 503, "unavailable", "Unavailable"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[FieldError] | None = None,
        retry_after_seconds: float | None = 1.0,
        task_id: str | None = None,
    ) -> None:
        super().__init__(detail, errors=errors, retry_after_seconds=retry_after_seconds, task_id=task_id)


class DatabaseAway(Unavailable):
    """The database does not answer; nothing was stored. Try again."""

    code, title = "database-away", "Database away"

    said: str = ""
    """What it said of itself, without addresses; who only calls is not told."""


class BrokerSilent(Unavailable):
    """The broker does not answer; nothing was done. Try again."""

    code, title = "broker-away", "Broker away"


class IssuerAway(Unavailable):
    """The issuer of this token does not say which keys it signs with. Try again."""

    code, title = "issuer-away", "Issuer away"


class DatabaseDiffers(Unavailable):
    """The database does not know what this release asks of it, which was logged; GET /readyz says whether its schema is
    another. Nothing was stored.
    """

    code, title = "database-differs", "Database differs"


class TooManyWaiting(Unavailable):
    """Too many submissions wait for their commit; nothing was stored. Try again."""

    code, title = "too-many-waiting", "Too many submissions waiting"


class TooManyBodies(Unavailable):
    """Too many long bodies are being received; nothing was stored. Try again."""

    code, title = "too-many-bodies", "Too many long bodies"


class TooManyReaders(Unavailable):
    """Too many lists are being read. Try again."""

    code, title = "too-many-readers", "Too many readers"


class BreakerOpen(Unavailable):
    """A circuit breaker would hold this task, and on_breaker_open asks for a refusal; nothing was stored."""

    code, title = "breaker-open", "Circuit breaker open"


class BacklogFull(Unavailable):
    """As many tasks wait on this queue as its backlog_limit allows; nothing was stored. Try again later."""

    code, title = "backlog-full", "Backlog full"


class SlaAtRisk(Unavailable):
    """The task would start later than its queue's target, and on_sla_risk asks for a refusal; nothing was stored."""

    code, title = "sla-at-risk", "SLA at risk"


class TooManyListeners(Unavailable):
    """Too many listen to this process already. Try again."""

    code, title = "too-many-listeners", "Too many listeners"


class OutcomeUnknown(Unavailable):
    """The connection broke during the commit: the task may or may not be stored. Look it up by its id, or
    submit again with an Idempotency-Key.
    """

    code, title = "outcome-unknown", "Outcome unknown"

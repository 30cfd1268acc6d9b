"""The body of a submission: its fields, their limits, and what is wrong with them by JSON pointer."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pointsman_contract.catalogue import MAX_NAME, pointer
from pointsman_contract.dependencies import GIVEN_PATTERN, MOST, named
from pointsman_contract.retry import MAX_ATTEMPTS
from pointsman_service.admit.keys import KEY_PATTERN, KEY_RULE, key_of
from pointsman_service.admit.moments import Moment
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.errors import FAULTS_SHOWN, FieldError, InvalidRequest

_TEN_YEARS = 10 * 366 * 86_400.0
_MOST_TAGS = 20
_UNKNOWN_FIELD = "this field does not exist"
_NEVER = "must be after the task is due"
BOTH_TIMES: dict[str, Any] = {
    "required": ["scheduled_at", "delay_seconds"],
    "properties": {"scheduled_at": {"type": "string"}, "delay_seconds": {"type": "number"}},
}
"""JSON Schema: what says twice when a task is due."""
_YEARS = range(1970, 9000)


def _few(tags: object) -> object:
    # Before each of them is looked at.
    if isinstance(tags, dict) and len(tags) > _MOST_TAGS:
        raise PydanticCustomError("too_long", "must be at most {most} tags", {"most": _MOST_TAGS})
    return tags


def _key(value: str) -> str:
    try:
        return key_of(value)
    except ValueError as error:
        raise PydanticCustomError("idempotency_key", KEY_RULE) from error


Key = Annotated[
    str,
    AfterValidator(_key),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": KEY_PATTERN}),
]
MomentOfTask = Annotated[Moment, Field(json_schema_extra={"pattern": "^(19[7-9][0-9]|[2-8][0-9]{3})-"})]
Dependency = Annotated[str, StringConstraints(pattern=GIVEN_PATTERN), AfterValidator(named)]
FairnessKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
Priority = Annotated[int, Field(ge=0, le=10), WHOLE]
TagValue = Annotated[str, StringConstraints(max_length=256)]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Tags = Annotated[dict[TagName, TagValue], Field(max_length=_MOST_TAGS), BeforeValidator(_few)]


class Submission(BaseModel):
    """A task to be run. A field that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"not": BOTH_TIMES})

    task_type: str = Field(
        min_length=1, max_length=MAX_NAME, description="What to run: a name from GET /v1/task-types.", examples=["echo"]
    )
    args: list[Any] = Field(default_factory=list, description="Positional arguments.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Named arguments.")
    queue: str | None = Field(default=None, max_length=63, description="Overrides the route of the task type.")
    priority: Priority | None = Field(
        default=None, description="10 is the most urgent. It does not rise while the task waits."
    )
    scheduled_at: MomentOfTask | None = Field(default=None, description="Not before this moment.")
    delay_seconds: float | None = Field(default=None, ge=0, le=_TEN_YEARS, description="Not before so long from now.")
    expires_at: MomentOfTask | None = Field(
        default=None, description="No attempt starts from then on, no further one either: it ends as expired."
    )
    timeout_seconds: float | None = Field(
        default=None, ge=0.01, le=86_400, description="Hard time limit of an attempt; default: the task type's."
    )
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS), WHOLE] | None = Field(
        default=None, description="Attempts until it is failed; default: the task type's."
    )
    dependencies: list[Dependency] = Field(
        default_factory=list,
        max_length=MOST,
        description="What it depends on beside what its task type says: their circuit breakers may hold it.",
        examples=[["api.weather.com"]],
    )
    on_breaker_open: Literal["hold", "reject"] = Field(
        default="hold", description="`reject`: 503 while a circuit breaker would hold it."
    )
    on_sla_risk: Literal["accept", "reject"] = Field(
        default="accept",
        description="`reject`: 503 when more than one of 20 such tasks would start later than the queue's target, or"
        " none starts now. Of no effect for a task that is due later.",
    )
    fairness_key: FairnessKey | None = Field(
        default=None,
        description="Tasks of one caller that wait in a queue take turns by this, such as the tenants of an"
        " application: one with many does not delay another with few. Printable ASCII.",
        examples=["tenant-42"],
    )
    tags: Tags | None = Field(default=None, description="For finding it again.")


class BatchItem(Submission):
    """One task of a batch."""

    idempotency_key: Key | None = Field(default=None, description="As the header of a single submission.")


Kind = TypeVar("Kind", bound=Submission)


def parse_submission(body: object, kind: type[Kind]) -> Kind:
    """A checked submission of that kind. Raises ``InvalidRequest`` naming each field at fault.

    ``body`` is what a JSON parser made; its values are checked for what PostgreSQL and JSON cannot carry.
    """
    known_fields_only(kind, body)
    try:
        submission = kind.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(errors=list(field_errors(error))) from None
    if (submission.scheduled_at or submission.expires_at) is not None:
        faults = list(_moments_at_fault(submission))
        if faults:
            raise InvalidRequest(errors=faults)
    return submission


def known_fields_only(kind: type[BaseModel], body: object) -> None:
    """Raises ``InvalidRequest`` for a body of far more fields than there are: the model would find a fault in each."""
    # The number alone first: to ask a model for its fields costs as much as to validate two of them.
    if not isinstance(body, dict) or len(body) <= FAULTS_SHOWN or len(body) <= len(kind.model_fields) + FAULTS_SHOWN:
        return
    unknown = islice((name for name in body if name not in kind.model_fields), FAULTS_SHOWN)
    raise InvalidRequest(errors=[FieldError(pointer=pointer(name), detail=_UNKNOWN_FIELD) for name in unknown])


def field_errors(error: ValidationError) -> Iterator[FieldError]:
    """Pydantic's errors in our words."""
    for fault in error.errors(include_url=False, include_input=False, include_context=False)[:FAULTS_SHOWN]:
        location = [part for part in fault["loc"] if part != "[key]"]
        detail = _UNKNOWN_FIELD if fault["type"] == "extra_forbidden" else fault["msg"]
        yield FieldError(pointer=pointer(*location), detail=detail)


def _moments_at_fault(submission: Submission) -> Iterator[FieldError]:
    scheduled_at, expires_at = submission.scheduled_at, submission.expires_at
    if scheduled_at is not None and submission.delay_seconds is not None:
        yield FieldError(pointer="/delay_seconds", detail="give either scheduled_at or delay_seconds")
    for name, moment in (("scheduled_at", scheduled_at), ("expires_at", expires_at)):
        if moment is not None and moment.year not in _YEARS:
            yield FieldError(pointer=f"/{name}", detail="must be between the years 1970 and 9000")
            return
    if expires_at is not None and scheduled_at is not None and expires_at <= scheduled_at:
        yield FieldError(pointer="/expires_at", detail=_NEVER)


def too_late(submission: Submission, now: datetime) -> FieldError | None:
    """Why a submission that expires cannot run in time any more. True of a body today that was none yesterday."""
    expires_at, delay = submission.expires_at, timedelta(seconds=submission.delay_seconds or 0.0)
    if expires_at is None or expires_at > now + delay:
        return None
    return FieldError(pointer="/expires_at", detail="lies in the past" if expires_at <= now else _NEVER)

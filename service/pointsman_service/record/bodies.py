"""What the body of each kind of event must hold: its types, and a range for every number. What is more is ignored, so
that a newer worker may say more.
"""

from collections.abc import Mapping

from pydantic_core import SchemaValidator, ValidationError, core_schema

from pointsman_contract.catalogue import MAX_NAME
from pointsman_contract.events import PROGRESS_BYTES, RESULT_BYTES, EventBody, EventKind
from pointsman_contract.sealing import BEGIN
from pointsman_contract.validation import first_fault

Field = core_schema.TypedDictField

LARGEST_ATTEMPT = 2**15 - 1
"""What its column takes, as the next one."""
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_EPOCH = 2**63 - 1
_LONGEST_QUEUE = 255
LONGEST_OWNER = 400
"""With the longest name of a task type it still fits into one entry of an index, whatever the characters."""
LONGEST_BREAKER = MAX_NAME + 20
LONGEST_REASON = 1000
_LONGEST_RUN_SECONDS = 366 * 86_400.0
_MOST_BREAKERS = 1000
_MOST_SPECS = 10_000
_LONGEST_STATE = 100
_LONGEST_TRACEPARENT = 100


def _text(longest: int, shortest: int = 0) -> core_schema.CoreSchema:
    return core_schema.str_schema(min_length=shortest, max_length=longest)


def _needed(schema: core_schema.CoreSchema) -> Field:
    return core_schema.typed_dict_field(schema, required=True)


def _absent_or(schema: core_schema.CoreSchema) -> Field:
    return core_schema.typed_dict_field(core_schema.nullable_schema(schema), required=False)


def _integer(largest: int, smallest: int = 0) -> core_schema.CoreSchema:
    return core_schema.int_schema(ge=smallest, le=largest)


_NAMES = core_schema.list_schema(_text(RESULT_BYTES), max_length=_MOST_BREAKERS)
_ANY_NUMBER = core_schema.union_schema([core_schema.int_schema(), core_schema.float_schema(allow_inf_nan=False)])
"""A task may ask for whatever it likes: the recorder limits it."""

_RESULT = core_schema.union_schema(
    [_text(RESULT_BYTES), core_schema.str_schema(pattern=f'^"?{BEGIN}', max_length=2 * RESULT_BYTES)],
    mode="left_to_right",
)
"""One that is sealed is longer than what it holds."""
_ERROR = core_schema.typed_dict_schema(
    {
        "type": _needed(core_schema.str_schema()),
        "message": _needed(core_schema.str_schema()),
        "traceback": _needed(core_schema.str_schema()),
    }
)
_STARTED: dict[str, Field] = {
    "task_type": _needed(_text(MAX_NAME, 1)),
    "queue": _needed(_text(_LONGEST_QUEUE)),
    "worker": _needed(_text(LONGEST_OWNER, 1)),
    "dispatch": _needed(_integer(_LARGEST_INTEGER)),
}
_OUTCOME = _STARTED | {
    "started_at": _needed(core_schema.float_schema(allow_inf_nan=False)),
    "run_seconds": _needed(core_schema.float_schema(ge=0.0, le=_LONGEST_RUN_SECONDS, allow_inf_nan=False)),
    "result": _absent_or(_RESULT),
    "permanent": _absent_or(core_schema.bool_schema()),
    "retry_in_seconds": _absent_or(core_schema.float_schema(allow_inf_nan=False)),
    "max_attempts": _absent_or(_ANY_NUMBER),
    "timed_out": _absent_or(core_schema.bool_schema()),
    "interrupted": _absent_or(core_schema.bool_schema()),
    "progress": _absent_or(_text(4 * PROGRESS_BYTES)),
    "breakers": _absent_or(
        core_schema.dict_schema(
            _text(LONGEST_BREAKER, 1),
            core_schema.nullable_schema(_integer(_LARGEST_EPOCH)),
            max_length=_MOST_BREAKERS,
        )
    ),
    "blamed": _absent_or(_NAMES),
    "answered": _absent_or(_NAMES),
    "error_classes": _absent_or(_NAMES),
    "traceparent": _absent_or(_text(_LONGEST_TRACEPARENT)),
}
_FAILED = _OUTCOME | {"error": _needed(_ERROR)}
_NATIVE: dict[str, Field] = {
    "task_type": _needed(_text(MAX_NAME, 1)),
    "queue": _needed(_text(_LONGEST_QUEUE)),
    "worker": _needed(_text(LONGEST_OWNER, 1)),
    "state": _needed(_text(_LONGEST_STATE, 1)),
    "run_seconds": _needed(core_schema.float_schema(ge=0.0, le=_LONGEST_RUN_SECONDS, allow_inf_nan=False)),
    "error": _absent_or(_ERROR),
}
_FIELDS: Mapping[EventKind, dict[str, Field]] = {
    EventKind.STARTED: _STARTED,
    EventKind.SUCCEEDED: _OUTCOME | {"error": _absent_or(_ERROR)},
    EventKind.FAILED: _FAILED,
    EventKind.EXPIRED: _STARTED,
    EventKind.DUPLICATE: _STARTED,
    EventKind.ASK: _STARTED,
    EventKind.HELD: _STARTED,
    EventKind.BLOCKED: _FAILED | {"held_by": _needed(_text(LONGEST_BREAKER, 1))},
    EventKind.UNKNOWN: _STARTED,
    EventKind.UNCLAIMED: _STARTED | {"reason": _needed(_text(LONGEST_REASON))},
    EventKind.REVOKED: {"by": _needed(_text(LONGEST_REASON, 1)), "kill": _needed(core_schema.bool_schema())},
    EventKind.PROGRESS: {
        "attempt": _needed(_integer(LARGEST_ATTEMPT, 1)),
        "progress": _needed(_text(4 * PROGRESS_BYTES)),
    },
    EventKind.NATIVE: _NATIVE,
    EventKind.CATALOGUE: {
        "worker": _needed(_text(LONGEST_OWNER, 1)),
        "specs": _needed(core_schema.list_schema(core_schema.any_schema(), max_length=_MOST_SPECS)),
    },
}

_VALIDATORS = {
    kind: SchemaValidator(core_schema.typed_dict_schema(fields, config=core_schema.CoreConfig(strict=True)))
    for kind, fields in _FIELDS.items()
}


def read_body(kind: EventKind, text: bytes) -> EventBody:
    """The body of an event. Raises ``ValueError``, which names the field and no value, when it is not what its kind
    must hold.
    """
    try:
        body: EventBody = _VALIDATORS[kind].validate_json(text)
    except ValidationError as error:
        raise ValueError(first_fault(error, "the body")) from None
    return body

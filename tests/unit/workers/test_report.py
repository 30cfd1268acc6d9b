import json
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from pydantic import BaseModel

from pointsman import PermanentError
from pointsman.errors import (
    ArgumentsNotValid,
    AttemptSuperseded,
    BreakerOpen,
    ResultNotJSON,
    ResultTooLarge,
    TaskCancelled,
)
from pointsman.run.report import describe, encode_result, failed, kind_of, type_name
from pointsman.shipped.tasks.diagnostics import DeliberateFailure
from pointsman_contract.errors import ErrorType
from pointsman_contract.event_text import outcome_text, started_text
from pointsman_contract.events import RESULT_BYTES, TRACEBACK_BYTES, EventKind


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class Point(BaseModel):
    x: int


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("value", [0, "", False, [], {"a": [1, None, "ü"]}, 1.5])
def test_json_values_are_encoded(value: Any) -> None:
    text = encode_result(value)
    assert text is not None
    assert json.loads(text) == value


def test_none_has_no_text() -> None:
    assert encode_result(None) is None


def test_models_are_encoded_as_objects() -> None:
    assert encode_result([Point(x=1)]) == '[{"x":1}]'


@pytest.mark.parametrize("value", [{1}, bytearray(b"x"), float("nan"), float("inf"), object(), "\ud800", {(1, 2): 3}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ResultNotJSON):
        encode_result(value)


def test_circular_result_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ResultNotJSON):
        encode_result(circle)


def test_size_is_counted_in_bytes() -> None:
    encode_result("x" * (RESULT_BYTES - 2))
    with pytest.raises(ResultTooLarge):
        encode_result("ü" * (RESULT_BYTES // 2))


def test_builtin_errors_have_no_module() -> None:
    assert type_name(ValueError()) == "ValueError"
    assert type_name(json.JSONDecodeError("m", "d", 0)) == "json.decoder.JSONDecodeError"
    assert type_name(PermanentError()) == "workers.PermanentError"
    assert type_name(ResultTooLarge()) == "ResultTooLarge"


def test_error_of_a_shipped_task_is_told_from_where_callers_know_it() -> None:
    assert type_name(DeliberateFailure()) == "pointsman.tasks.diagnostics.DeliberateFailure"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TaskCancelled(), ErrorType.CANCELLED),
        (BreakerOpen("dependency:smtp"), ErrorType.CALL_NOT_MADE),
        (AttemptSuperseded(), ErrorType.SUPERSEDED),
        (ArgumentsNotValid(), ErrorType.ARGUMENTS_NOT_VALID),
        (TimeLimitExceeded(), ErrorType.TIME_LIMIT),
        (SoftTimeLimitExceeded(), ErrorType.SOFT_TIME_LIMIT),
    ],
)
def test_error_the_control_plane_knows_is_told_by_its_word(error: BaseException, word: ErrorType) -> None:
    assert type_name(error) == word


class OurCancel(TaskCancelled):
    pass


class OurBreaker(BreakerOpen):
    pass


class OurLimit(SoftTimeLimitExceeded):
    pass


def test_class_that_derives_from_one_of_ours_means_the_same() -> None:
    assert type_name(OurCancel()) == ErrorType.CANCELLED
    assert type_name(OurBreaker("dependency:smtp")) == ErrorType.CALL_NOT_MADE
    assert type_name(OurLimit()) == f"{__name__}.OurLimit"


@pytest.mark.parametrize("word", ErrorType)
def test_class_of_a_project_is_not_told_by_a_word_of_ours(word: ErrorType) -> None:
    package, _, name = word.rpartition(".")
    theirs = type(name, (Exception,), {"__module__": package or "builtins"})
    told = type_name(theirs())
    assert told == f"{package or 'builtins'}:{name}"
    assert told not in set(ErrorType)


def test_error_whose_message_fails_is_described() -> None:
    error = describe(raised(Unprintable()))
    assert error["type"].endswith("Unprintable")
    assert error["message"]
    assert "test_report.py" in error["traceback"]


def test_long_message_is_cut() -> None:
    error = describe(raised(ValueError("ü" * 100_000)))
    assert len(error["message"].encode()) <= 2048
    assert len(error["traceback"].encode()) <= TRACEBACK_BYTES


def test_cause_is_part_of_the_traceback() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        text = describe(error)["traceback"]
    assert text.index("inner") < text.index("outer")


def test_outcome_repeats_what_started_said() -> None:
    ending = failed({"type": "E", "message": "m", "traceback": "t"})
    body = json.loads(outcome_text(started_text("noop", "email", "w@h", 1), 5.5, 0.25, ending))
    assert body == {
        "task_type": "noop",
        "queue": "email",
        "worker": "w@h",
        "dispatch": 1,
        "started_at": 5.5,
        "run_seconds": 0.25,
        "error": {"type": "E", "message": "m", "traceback": "t"},
        "permanent": True,
    }
    assert kind_of(ending) is EventKind.FAILED
    assert kind_of({}) is EventKind.SUCCEEDED

import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.document import problem_bytes, problem_headers, problem_of
from pointsman_service.api.problems.translation import as_error
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    DatabaseDiffers,
    FieldError,
    InvalidRequest,
    MalformedJson,
    OutcomeUnknown,
    UnknownTask,
)
from pointsman_service.redis import BrokerAway
from pointsman_service.store.store import ConnectionLost, DatabaseTrouble, LockNotGot, StatementRefused


def test_problem_without_faults_has_no_errors() -> None:
    assert problem_of(UnknownTask(), "/v1/tasks/x") == {
        "type": "urn:pointsman:problem:unknown-task",
        "title": "Unknown task",
        "status": 404,
        "detail": "There is no task with this id.",
        "instance": "/v1/tasks/x",
    }


def test_problem_names_faults_and_task() -> None:
    faults = [FieldError(pointer="/queue", detail="bad")]

    assert json.loads(problem_bytes(InvalidRequest(errors=faults)))["errors"] == faults
    assert problem_of(OutcomeUnknown(task_id="t"))["task_id"] == "t"


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.01, "2"), (7.5, "8")])
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    assert problem_headers(DatabaseAway(retry_after_seconds=seconds)) == {"Retry-After": header}


def test_no_retry_after_where_trying_again_is_useless() -> None:
    assert problem_headers(UnknownTask()) == {}


@pytest.mark.parametrize("error", [ConnectionLost("x"), DatabaseTrouble("x"), LockNotGot("x")])
def test_store_faults_become_database_away(error: Exception) -> None:
    assert isinstance(as_error(error), DatabaseAway)


def test_a_statement_that_the_database_does_not_know_is_a_fault_of_ours() -> None:
    found = as_error(StatementRefused("UndefinedColumnError (42703)"))

    assert (type(found), found.status, "42703" in found.detail) == (DatabaseDiffers, 503, False)


def test_broker_away_is_503_without_its_address() -> None:
    found = as_error(BrokerAway("redis://secret@host"))

    assert (found.status, "secret" in found.detail) == (503, False)


def test_unexpected_error_tells_nothing() -> None:
    found = as_error(ZeroDivisionError("secret"))

    assert (found.status, "secret" in found.detail) == (500, False)


def test_validation_errors_point_into_body_and_parameters() -> None:
    error = RequestValidationError(
        [
            {"type": "missing", "loc": ("body", "tasks", 0, "a/b"), "msg": "missing"},
            {"type": "int", "loc": ("query", "limit"), "msg": "no integer"},
        ]
    )

    assert [fault["pointer"] for fault in as_error(error).errors] == ["/tasks/0/a~1b", "/query/limit"]


def test_unreadable_json_is_400() -> None:
    assert isinstance(as_error(RequestValidationError([{"type": "json_invalid", "loc": ("body",)}])), MalformedJson)


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (413, "body-too-large"), (503, "unavailable")])
def test_framework_refusals_get_our_types(status: int, code: str) -> None:
    assert as_error(HTTPException(status)).code == code


def test_responses_of_one_status_share_it_with_an_example_each() -> None:
    responses = problem_responses(DatabaseAway, OutcomeUnknown, 413)

    examples = responses[503]["content"]["application/problem+json"]["examples"]
    assert list(examples) == ["database-away", "outcome-unknown"]
    assert "Retry-After" in responses[503]["headers"]
    assert responses[413]["description"] == BodyTooLarge.title

import hashlib
import json
from typing import Any

import pytest

from pointsman_service.admit.submission import BatchItem, Submission
from pointsman_service.submit.fingerprint import fingerprints_of


def ours(**body: Any) -> str:
    return fingerprints_of(Submission.model_validate({"task_type": "noop"} | body)).ours


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"tags": {}}),
        ({}, {"tags": None, "args": [], "kwargs": {}, "queue": None, "dependencies": [], "on_breaker_open": "hold"}),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, {"scheduled_at": "2030-01-01T02:00:00.000+02:00"}),
        ({"expires_at": "2030-01-01T00:00:00.5-00:00"}, {"expires_at": "2029-12-31T19:30:00.500-04:30"}),
        ({"delay_seconds": 5}, {"delay_seconds": 5.0}),
        ({"args": [1, [100, {"a": 0}]]}, {"args": [1.0, [1e2, {"a": -0.0}]]}),
        (
            {"kwargs": {"a": 1, "b": 2}, "tags": {"x": "1", "y": "2"}},
            {"tags": {"y": "2", "x": "1"}, "kwargs": {"b": 2, "a": 1}},
        ),
    ],
)
def test_equal_bodies_are_equal_however_they_are_written(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ours(**one) == ours(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"args": [1]}, {"args": [True]}),
        ({"args": [1]}, {"args": ["1"]}),
        ({"args": ["1.0"]}, {"args": ["1"]}),
        ({"args": [1.5]}, {"args": [1]}),
        ({"args": [9007199254740993]}, {"args": [9007199254740992.0]}),
        ({"args": [None]}, {}),
        ({"kwargs": {"a": None}}, {}),
        ({"args": [{}]}, {"args": [[]]}),
        ({"args": ["é"]}, {"args": ["e\u0301"]}),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, {"scheduled_at": "2030-01-01T00:00:00+02:00"}),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, {"scheduled_at": "2030-01-01T00:00:00.000001Z"}),
        ({"tags": {"a": ""}}, {"tags": {}}),
    ],
)
def test_other_bodies_are_other_bodies(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert ours(**one) != ours(**other)


def test_an_item_is_equal_to_the_same_submission_alone() -> None:
    item = BatchItem.model_validate({"task_type": "noop", "args": [1.0], "idempotency_key": "k"})
    assert fingerprints_of(item).ours == ours(args=[1])


@pytest.mark.parametrize(
    "body",
    [
        {
            "args": [1, "a"],
            "tags": {"a": "b"},
            "scheduled_at": "2030-01-01T00:00:00Z",
            "priority": 5,
            "delay_seconds": 2,
        },
        {"tags": {}, "expires_at": "2030-01-01T02:00:00+02:00", "kwargs": {"a": 1.0}},
    ],
)
def test_a_body_that_the_release_before_remembered_is_known_again(body: dict[str, Any]) -> None:
    submission = Submission.model_validate({"task_type": "noop"} | body)
    written = json.dumps(submission.model_dump(mode="json", exclude_defaults=True), sort_keys=True, ensure_ascii=False)
    assert hashlib.sha256(written.encode()).hexdigest() in fingerprints_of(submission)

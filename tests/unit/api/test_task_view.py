from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_service.api.answers.answer import json_bytes, moment
from pointsman_service.api.tasks.attempts import attempt_views
from pointsman_service.api.tasks.view import EXAMPLE_TASK, TaskView, task_view
from pointsman_service.store.columns import BLANK

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    """A row of ``task_live``, due at noon with a target of two seconds."""
    found = BLANK | {
        "id": "01a20271-c811-71a5-99c0-510fde22a57d",
        "state": "queued",
        "task_type": "noop",
        "queue": "critical",
        "priority": 10,
        "sla_seconds": 2.0,
        "submitted_at": DUE,
        "due_at": DUE,
        "args": "[]",
        "kwargs": "{}",
    }
    return found | changes


def test_example_is_a_task() -> None:
    TaskView.model_validate(EXAMPLE_TASK)


def test_row_without_history_columns_gives_every_field() -> None:
    view = task_view(row(), DUE)

    assert set(view) == set(TaskView.model_fields)
    TaskView.model_validate(view)


@pytest.mark.parametrize(
    ("changes", "seconds", "met"),
    [
        ({}, 1.0, None),
        ({}, 2.0, None),
        ({}, 2.1, False),
        ({"state": "scheduled"}, -60.0, None),
        ({"state": "held"}, 60.0, None),
        ({"state": "running", "started_at": DUE + timedelta(seconds=1)}, 60.0, True),
        ({"state": "running", "started_at": DUE + timedelta(seconds=3)}, 60.0, False),
    ],
)
def test_sla_of_an_unfinished_task(changes: dict[str, Any], seconds: float, met: bool | None) -> None:
    assert task_view(row(**changes), DUE + timedelta(seconds=seconds))["sla"]["met"] is met


def test_queue_wait_of_a_running_task_is_derived_and_never_negative() -> None:
    assert task_view(row(state="running", started_at=DUE + timedelta(seconds=1.5)), DUE)["queue_wait_seconds"] == 1.5
    assert task_view(row(state="running", started_at=DUE - timedelta(seconds=1)), DUE)["queue_wait_seconds"] == 0


def test_finished_task_keeps_what_was_recorded() -> None:
    view = task_view(row(state="expired", finished_at=DUE, sla_met=None), DUE + timedelta(days=1))

    assert (view["sla"]["met"], view["queue_wait_seconds"]) == (None, None)


def test_single_precision_is_shown_as_it_was_given() -> None:
    view = task_view(row(sla_seconds=0.30000001192092896, requested_timeout_seconds=0.10000000149011612), DUE)

    assert (view["sla"]["target_seconds"], view["timeout_seconds"]) == (0.3, 0.1)


@pytest.mark.parametrize("tags", [{"a": "b"}, '{"a": "b"}'])
def test_tags_are_read_from_text_too(tags: object) -> None:
    assert task_view(row(tags=tags), DUE)["tags"] == {"a": "b"}


DEEP = "[" * 500, "]" * 500


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[1e999, NaN]",
        '"\\ud800"',
        DEEP[0] + "NaN" + DEEP[1],
        DEEP[0] + "1e999" + DEEP[1],
        DEEP[0] + '"\\ud800"' + DEEP[1],
        DEEP[0],
        "[" * 20_000 + "]" * 20_000,
    ],
)
def test_result_that_json_cannot_carry_is_given_as_text(text: str) -> None:
    assert task_view(row(result=text), DUE)["result"] == text


@pytest.mark.parametrize("depth", [1, 99, 101, 128, 255, 430])
def test_a_result_is_json_however_deep_it_is(depth: int) -> None:
    text = '{"a":["ü",' * depth + "1" + "]}" * depth
    view = task_view(row(result=text, args='["ü"]'), DUE)
    assert f'"result":{text},"error":null' in json_bytes(view).decode()


def test_the_meta_of_progress_may_be_deep_too() -> None:
    meta = "[" * 300 + "]" * 300
    view = task_view(row(progress=f'{{"state":"PROGRESS","current":1,"meta":{meta},"at":1.0}}'), DUE)
    assert f'"state":"PROGRESS","current":1,"total":null,"note":null,"meta":{meta}' in json_bytes(view).decode()


def test_moments_end_in_z() -> None:
    assert moment(datetime(2026, 1, 1, 13, 30, tzinfo=UTC)) == "2026-01-01T13:30:00Z"


@pytest.mark.parametrize(
    ("state", "shown"),
    [("running", "running"), ("succeeded", "succeeded"), ("queued", "interrupted"), ("expired", "interrupted")],
)
def test_newest_attempt_is_told_by_the_row(state: str, shown: str) -> None:
    first = {"attempt": 1, "worker": "w", "started_at": DUE, "finished_at": DUE, "run_seconds": 1.0}
    failed = [first | {"error_type": "E", "error_message": "m", "error_traceback": "t"}]

    views = attempt_views(row(state=state, attempt=2), failed)

    assert [(view["attempt"], view["state"]) for view in views] == [(1, "failed"), (2, shown)]


def test_attempt_that_is_kept_is_not_listed_twice() -> None:
    failed = [
        {"attempt": 1, "worker": "w", "started_at": DUE, "finished_at": DUE, "run_seconds": 1.0, "error_type": None}
    ]

    assert len(attempt_views(row(state="failed", attempt=1), failed)) == 1


@pytest.mark.parametrize(("state", "shown"), [("queued", "interrupted"), ("succeeded", "succeeded")])
def test_interrupted_attempt_is_told_apart_unless_it_succeeded_after_all(state: str, shown: str) -> None:
    kept = [
        {
            "attempt": 1,
            "worker": "w",
            "started_at": DUE,
            "finished_at": DUE,
            "run_seconds": 1.0,
            "error_type": "Interrupted",
            "error_message": "",
            "error_traceback": "",
        }
    ]

    (view,) = attempt_views(row(state=state, attempt=1), kept)

    assert view["state"] == shown


def test_a_held_task_shows_what_holds_it_and_how_long_until_now() -> None:
    held = {
        "state": "held",
        "held_reason": "breaker:dependency:smtp",
        "held_at": DUE + timedelta(seconds=3),
        "held_seconds": 10.0,
        "retry_at": DUE + timedelta(seconds=63),
        "dependencies": ["smtp"],
    }
    view = task_view(row(**held), DUE + timedelta(seconds=5))
    assert (view["held_reason"], view["held_seconds"]) == ("breaker:dependency:smtp", 12.0)
    assert (view["retry_at"], view["dependencies"]) == ("2026-01-01T12:01:03Z", ["smtp"])
    assert view["sla"]["met"] is None


def test_time_held_counts_into_no_queue_wait_and_misses_no_target() -> None:
    waited = row(held_wait_seconds=60.0, held_seconds=60.0)
    assert task_view(waited, DUE + timedelta(seconds=61))["sla"]["met"] is None
    assert task_view(waited, DUE + timedelta(seconds=63))["sla"]["met"] is False
    running = row(state="running", started_at=DUE + timedelta(seconds=61), held_wait_seconds=60.0, held_seconds=60.0)
    assert task_view(running)["queue_wait_seconds"] == 1.0

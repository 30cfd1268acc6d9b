import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_contract.states import TaskState
from pointsman_service.observe.tasks.attempts import attempts_of
from pointsman_service.observe.tasks.task import TaskError, TaskProgress, task_of
from pointsman_service.store.columns import BLANK

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    """A row of ``task_live``, due at noon with a target of two seconds."""
    times = {"submitted_at": DUE, "due_at": DUE}
    return BLANK | times | {"state": "queued", "task_type": "noop", "queue": "critical", "sla_seconds": 2.0} | changes


def test_payloads_stay_the_text_that_their_authors_wrote() -> None:
    task = task_of(row(args='[1.50, "ü"]', result='{"a" : NaN}'), DUE)

    assert (task.args, task.result) == ('[1.50, "ü"]', '{"a" : NaN}')


def test_task_that_waits_for_another_attempt_is_scheduled_when_that_is_due() -> None:
    asked = DUE - timedelta(hours=1)

    assert task_of(row(state="retrying", scheduled_at=asked), DUE).scheduled_at == DUE
    assert task_of(row(state="queued", scheduled_at=asked), DUE).scheduled_at == asked


def test_progress_is_read_from_what_the_body_reported() -> None:
    told = {"state": "PROGRESS", "current": 3, "total": 10, "note": "third", "meta": {"a": [1]}, "at": DUE.timestamp()}

    assert task_of(row(progress=json.dumps(told)), DUE).progress == TaskProgress(
        "PROGRESS", 3, 10, "third", '{"a":[1]}', DUE
    )


@pytest.mark.parametrize("text", ["", "[]", "7", "NaN", '{"state"', "[" * 20_000])
def test_progress_that_says_nothing_is_none(text: str) -> None:
    assert task_of(row(progress=text), DUE).progress is None


def test_meta_of_progress_is_its_text_however_deep_it_is() -> None:
    meta = "[" * 300 + "]" * 300
    progress = task_of(row(progress=f'{{"state":"PROGRESS","meta":{meta},"at":1.0}}'), DUE).progress

    assert progress is not None
    assert progress.meta == meta


def test_newest_attempt_is_told_by_the_row_of_the_task() -> None:
    error = {
        "error_type": "ValueError",
        "error_message": "no such address",
        "error_traceback": None,
        "error_group": None,
    }
    failed = [row(attempt=1, finished_at=DUE, run_seconds=1.0, **error)]
    first, second = attempts_of(row(state=TaskState.RUNNING, attempt=2), failed)

    assert (first.attempt, first.state, first.error) == (
        1,
        "failed",
        TaskError("ValueError", "no such address", "", None),
    )
    assert (second.attempt, second.state, second.error) == (2, "running", None)

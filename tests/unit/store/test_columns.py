"""What is listed beside the models agrees with them: whoever adds a column is told here where it is missing."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pointsman_service.api.tasks.view import task_view
from pointsman_service.store.columns import BLANK, FINISHED, KINDS, LIVE, SUBMITTED
from pointsman_service.store.reported import End
from pointsman_service.store.tasks.submitting import NewTask
from tests.integration.spine import new_task

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEY = {"key", "fingerprint", "fingerprint_before"}
"""Of a submission: these have a table of their own."""
NOT_SHOWN = {"timeout_seconds", "traceparent"}
"""Columns of a finished task that no reader of it shows."""
DECIDE = {"retry_at", "breaker", "timed_out", "executed", "blamed"}
"""Fields of an end that no finished task keeps: they decide what it is, and what is counted."""


class Watched(dict[str, Any]):
    """Knows what was read of it."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def test_a_submission_has_a_field_for_each_column_that_it_fills() -> None:
    assert {field.name for field in fields(NewTask)} == SUBMITTED.keys() | KEY | {"is_counted"}


def test_a_new_row_has_every_column() -> None:
    row = new_task(task_type="echo").as_row(NOW)
    assert row.keys() == set(LIVE)
    assert (row["task_type"], row["attempt"], row["held_seconds"], row["submitted_at"]) == ("echo", 0, 0.0, NOW)
    assert {name for name in BLANK if BLANK[name] is not None} == {
        "attempt", "max_attempts", "interruptions", "uncertain_sendings", "dispatch", "held_seconds",
        "held_wait_seconds", "interrupted_in_a_row", "unclaimed",
    }  # fmt: skip


def test_every_column_of_a_finished_task_is_shown_or_said_not_to_be() -> None:
    row = Watched(dict.fromkeys(FINISHED) | new_task().as_row(NOW))
    # Their views look at a part of the columns unless there is something to show.
    row |= {"state": "running", "started_at": NOW, "error_type": "E", "sla_met": None}
    task_view(row, NOW)
    assert set(FINISHED) - row.read == NOT_SHOWN


def test_a_finished_task_keeps_what_its_end_says() -> None:
    assert set(End._fields) - set(FINISHED) == DECIDE
    assert KINDS["finished_at"] == "timestamptz"
    assert KINDS["run_seconds"] == "float8"

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pointsman_service.api.tasks.receipt import receipt
from pointsman_service.api.tasks.view import task_view
from tests.integration.spine import new_task

NOW = datetime(2026, 11, 22, 9, 30, 0, 120, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sent_epoch": 3},
        {"args": '[1,"\u00e9"]', "kwargs": '{"a":{"b":[null]}}', "tags": '{"tenant":"42"}'},
        {"delay_seconds": 5.5},
        {"delay_seconds": 0.0, "sent_epoch": 3},
        {"scheduled_at": NOW + timedelta(days=4000)},
        {"scheduled_at": NOW - timedelta(days=1)},
        {"scheduled_at": datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
        {"fairness_key": 'a"b'},
        {"expires_at": NOW + timedelta(hours=1), "requested_timeout_seconds": 0.5, "timeout_seconds": 0.5},
        {"task_type": 'a "quoted" \\ name', "queue": "critical", "priority": 10, "sla_seconds": 2.0},
    ],
)
@pytest.mark.parametrize("submitted_at", [NOW, NOW.replace(microsecond=0)])
def test_a_receipt_is_the_view_of_the_row_that_was_stored(changes: dict[str, Any], submitted_at: datetime) -> None:
    task = new_task(**changes)
    assert json.loads(receipt(task, submitted_at)) == task_view(task.as_row(submitted_at), submitted_at)

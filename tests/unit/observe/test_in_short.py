"""What a list says of a task in a few words."""

from dataclasses import replace
from typing import Any

import pytest

from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_contract.states import TaskState
from pointsman_service.observe.queues import queue_figures
from pointsman_service.observe.tasks.in_short import in_short, share_of
from pointsman_service.observe.tasks.task import TaskError, TaskProgress
from tests.unit.observe.explain.situations import before, later, task

QUEUE_FIGURES = replace(queue_figures(DEFAULT_TOPOLOGY.queues, {}, [], [])[0], consumers=2)
ERROR = TaskError("ConnectTimeout", "no answer\nfrom the bank", "")
PROGRESS = TaskProgress("PROGRESS", 40, 100, "page 40", None, None)


@pytest.mark.parametrize(
    ("changes", "says", "moment"),
    [
        ({"state": TaskState.SCHEDULED, "due_at": later(60)}, "due", later(60)),
        (
            {"state": TaskState.RETRYING, "error": ERROR, "due_at": later(9)},
            "ConnectTimeout: no answer from the bank; again",
            later(9),
        ),
        (
            {"state": TaskState.HELD, "held_reason": "breaker:dependency:api.bank.example", "retry_at": later(41)},
            "breaker of api.bank.example is open, tried again",
            later(41),
        ),
        ({"state": TaskState.HELD, "held_reason": "unknown_task_type"}, "no live worker knows its type", None),
        ({"state": TaskState.QUEUED, "sla_met": False}, "waits, over its target, due", before(240)),
        (
            {"state": TaskState.RUNNING, "progress": PROGRESS, "started_at": before(3)},
            "40 %, page 40, since",
            before(3),
        ),
        (
            {"state": TaskState.SUCCEEDED, "run_seconds": 0.21, "queue_wait_seconds": 3.0, "sla_met": True},
            "ran 0.21 s, waited 3 s",
            None,
        ),
        ({"state": TaskState.FAILED, "error": ERROR}, "ConnectTimeout: no answer from the bank", None),
        ({"state": TaskState.CANCELLED, "cancel_requested_by": "ada"}, "by ada", None),
        ({"state": TaskState.EXPIRED, "expires_at": before(5)}, "was to start", before(5)),
    ],
)
def test_each_state_says_what_matters_of_it(changes: dict[str, Any], says: str, moment: Any) -> None:
    found = in_short(replace(task(), **changes), None)
    assert (found.text, found.at) == (says, moment)


def test_what_waits_says_what_its_queue_waits_for() -> None:
    paused = replace(QUEUE_FIGURES, paused=True, paused_by="ops")
    assert in_short(task(), paused).text == "queue paused by ops"
    assert in_short(task(), replace(QUEUE_FIGURES, consumers=0)).text == "no live worker"


def test_who_may_not_read_payloads_reads_no_message_and_no_note() -> None:
    failed = replace(task(), state=TaskState.FAILED, error=ERROR)
    assert in_short(failed, None, reads_payloads=False).text == "ConnectTimeout"
    runs = replace(task(), state=TaskState.RUNNING, progress=PROGRESS)
    assert in_short(runs, None, reads_payloads=False).text == "40 %, since"


@pytest.mark.parametrize("told", [(None, 100), (5, None), (5, 0), ("5", 10), (5, [])])
def test_progress_that_is_no_share_has_none(told: tuple[Any, Any]) -> None:
    assert share_of(replace(PROGRESS, current=told[0], total=told[1])) is None

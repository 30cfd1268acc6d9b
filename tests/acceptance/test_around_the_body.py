"""Whatever Celery lets one do before and around a body: each task ends, and is run as often as it says."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from pointsman_contract.states import TERMINAL
from tests.acceptance.hooked_tasks import ERRORS, HOOKS
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Case:
    """One submission and what becomes of it."""

    task_type: str
    state: str = "succeeded"
    attempts: int = 1
    runs: int = 1
    error: str | None = None
    result: Any = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    timeout_seconds: float | None = None


_NAMES = ("args", "cls", "kwargs", "request", "self", "task", "task_id", "uuid")
_NAMED = {
    "error": "LookupError",
    "ignore": "celery.exceptions.Ignore",
    "reject": "celery.exceptions.Reject",
    "requeue": "celery.exceptions.Reject",
    "memory": "MemoryError",
    "exit": "SystemExit",
}
"""What the API calls them."""


def _before_start(how: str) -> Case:
    """Ignore and Reject are no reason to try again, as in a body."""
    attempts = 1 if how in ("ignore", "reject", "requeue") else 2
    return Case(f"hooks.before_start.{how}", "failed", attempts, runs=0, error=_NAMED[how])


def _afterwards(hook: str, how: str) -> Case:
    """What comes after an attempt has ended changes nothing of it."""
    name = f"hooks.{hook}.{how}"
    if hook == "on_success":
        return Case(name)
    if hook == "on_retry":
        return Case(name, attempts=2, runs=2, kwargs={"fails": 1})
    return Case(name, "failed", 2, runs=2, error="ConnectionError", kwargs={"fails": 2})


CASES = [
    Case("echo", runs=0, kwargs=dict.fromkeys(_NAMES, 1), result={"args": [], "kwargs": dict.fromkeys(_NAMES, 1)}),
    Case("hooks.any_name", kwargs=dict.fromkeys(_NAMES, 1), result=list(_NAMES)),
    Case("hooks.call", result=True),
    Case("hooks.call_super"),
    Case("hooks.call_retry", attempts=2, runs=2, result=[2, 1]),
    Case("hooks.call_autoretry", attempts=2, runs=2),
    Case("hooks.call_model", result=7, kwargs={"order": {"number": 7}}),
    Case("hooks.call_async", result="awaited"),
    Case("hooks.call_nobody", "failed", 2, runs=0, error="LookupError"),
    Case("hooks.before_start_once", attempts=2, result=[2, 1, True]),
    Case("hooks.options"),
    Case("hooks.limit", attempts=2, runs=2),
    *(_before_start(how) for how in ERRORS),
    *(_afterwards(hook, how) for hook in HOOKS if hook != "before_start" for how in ERRORS),
    Case("hooks.received.error"),
    Case("hooks.prerun.error"),
    Case("hooks.prerun.exit", "failed", 2, runs=0, error="SystemExit"),
    Case("hooks.postrun.error"),
    Case("hooks.success.error"),
    Case("hooks.failure.error", "failed", 2, runs=2, error="ConnectionError", kwargs={"fails": 2}),
    Case("hooks.retry.error", attempts=2, runs=2, kwargs={"fails": 1}),
]


async def test_what_stands_around_a_body_is_part_of_its_attempt_and_every_task_ends(stack: Stack) -> None:
    node = stack.worker.pid
    items = [{"task_type": case.task_type, "kwargs": case.kwargs} for case in CASES]
    answer = await stack.http.post("/v1/tasks/batch", json={"tasks": items})
    assert answer.status_code in (200, 202, 207), answer.text
    ids = [item["task"]["id"] for item in answer.json()["results"]]
    ended = await _ended(stack, ids)
    effects = stack.ledger.effects()
    told = {
        case.task_type: (one["state"], one["attempt"], effects[id], (one["error"] or {}).get("type"), one["result"])
        for case, id, one in zip(CASES, ids, ended, strict=True)
    }
    assert told == {case.task_type: (case.state, case.attempts, case.runs, case.error, case.result) for case in CASES}
    assert stack.worker.is_running
    assert stack.worker.pid == node


async def _ended(stack: Stack, ids: list[str]) -> list[Any]:
    async def all_ended() -> list[Any]:
        found = [await stack.task(id) for id in ids]
        going_on = [(one["task_type"], one["state"], one["dispatch"]) for one in found if one["state"] not in TERMINAL]
        assert not going_on
        return found

    return await until(all_ended, "every task to end")

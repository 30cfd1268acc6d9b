"""What the recorder counts of each worker."""

from datetime import UTC, datetime
from typing import Any

from pointsman.errors import BreakerOpen
from pointsman.run.report import type_name
from pointsman_contract.errors import ErrorType
from pointsman_contract.queues import list_key
from pointsman_service.record.recorder import Recorder
from pointsman_service.store.breakers import outcomes
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


def error(kind: str = "ValueError") -> dict[str, str]:
    return {"type": kind, "message": "no", "traceback": ""}


async def ran(spine: Spine, worker: str, kind: str = "succeeded", **more: Any) -> None:
    """A task ran in a worker."""
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, owner=worker)
    await spine.report(message, verdict, kind, worker=worker, **more)


async def counted(spine: Spine) -> dict[str, tuple[int, int]]:
    """Calls and failures by worker."""
    rows = await spine.rows(
        "SELECT worker, sum(calls)::int AS calls, sum(failures)::int AS failures FROM worker_outcome"
        " WHERE task_type = 'noop' AND bucket > now() - interval '1 minute' GROUP BY worker"
    )
    return {row["worker"]: (row["calls"], row["failures"]) for row in rows}


async def test_outcomes_are_counted_by_worker_and_added_up(spine: Spine) -> None:
    await ran(spine, "a@h#1")
    await ran(spine, "a@h#1", "failed", error=error())
    await ran(spine, "b@h#2", "failed", error=error(), timed_out=True)
    await spine.record_all()
    await ran(spine, "a@h#1")
    await spine.record_all()
    assert await counted(spine) == {"a@h#1": (3, 1), "b@h#2": (1, 1)}


COUNTED = {
    ErrorType.INTERRUPTED: False,
    ErrorType.HELD: False,
    ErrorType.CALL_NOT_MADE: False,
    ErrorType.FAILED_FAST: False,
    ErrorType.NOT_CLAIMED: False,
    ErrorType.CANCELLED: False,
    ErrorType.SUPERSEDED: False,
    ErrorType.ARGUMENTS_NOT_VALID: False,
    ErrorType.TIME_LIMIT: True,
    ErrorType.SOFT_TIME_LIMIT: True,
    ErrorType.WORKER_LOST: True,
}


async def test_what_is_nobodys_failure_is_not_counted(spine: Spine) -> None:
    for kind in ErrorType:
        await ran(spine, f"{kind}@h", "failed", error=error(kind))
    await spine.record_all()
    assert await counted(spine) == {f"{kind}@h": (1, 1) for kind in ErrorType if COUNTED[kind]}


async def test_worker_that_meets_an_open_breaker_is_not_counted_as_failing(spine: Spine) -> None:
    await ran(spine, "a@h#1", "failed", error=error(type_name(BreakerOpen("dependency:smtp"))))
    await spine.record_all()
    assert await counted(spine) == {}


async def test_failure_of_a_task_that_was_cancelled_meanwhile_is_not_counted(spine: Spine) -> None:
    await ran(spine, "a@h#1", "failed", error=error())
    await spine.run("UPDATE task_live SET cancel_requested_at = now(), cancel_grace_seconds = 1")
    await spine.record_all()
    assert [row["state"] for row in await spine.rows("SELECT state FROM task")] == ["cancelled"]
    assert await counted(spine) == {}


async def test_failed_attempt_that_is_retried_counts(spine: Spine) -> None:
    await spine.commits.join(new_task(max_attempts=3))
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, owner="a@h#1")
    more: dict[str, Any] = {"error": error(), "retry_in_seconds": 5.0}
    await spine.report(message, verdict, "failed", worker="a@h#1", **more)
    await spine.record_all()
    assert await counted(spine) == {"a@h#1": (1, 1)}


async def test_outcome_reported_twice_and_a_frozen_recorder_count_once(spine: Spine) -> None:
    frozen = Recorder(spine.store, spine.server, spine.settings)
    await ran(spine, "a@h#1", "failed", error=error())
    await spine.commits.join(new_task())
    await spine.commits.drain()
    message = await spine.message(MAINTENANCE)
    assert message is not None
    verdict = await spine.gate(message, owner="a@h#1")
    for _ in range(2):
        await spine.report(message, verdict, "failed", worker="a@h#1", error=error())
    await spine.record_all()
    await frozen.single_pass()
    assert await counted(spine) == {"a@h#1": (2, 2)}


async def test_old_rows_are_forgotten(spine: Spine) -> None:
    await ran(spine, "a@h#1")
    await spine.record_all()
    await spine.run("INSERT INTO worker_outcome VALUES (now() - interval '1 hour', 'b@h#1', 'noop', 4, 4)")
    async with spine.store.statement() as connection:
        await outcomes.forget_old(connection)
    assert [row["worker"] for row in await spine.rows("SELECT worker FROM worker_outcome")] == ["a@h#1"]


def test_bucket_begins_with_ten_seconds() -> None:
    at = datetime(2026, 11, 26, 8, 30, 19, 999_000, tzinfo=UTC)
    assert outcomes.bucket_of(at) == datetime(2026, 11, 26, 8, 30, 10, tzinfo=UTC)

"""Answers that wait until a task has ended: ``Prefer: wait=10``."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pointsman_contract.states import TERMINAL
from pointsman_service.api.answers.answer import Answer, json_bytes
from pointsman_service.api.parts import Parts
from pointsman_service.api.requests.preferences import APPLIED, wait_of, while_still
from pointsman_service.api.tasks.view import task_view
from pointsman_service.errors import ExpectedFault, Unauthorized, Unavailable
from pointsman_service.store.tasks import reading
from pointsman_service.telemetry import logger

log = logger(__name__)


async def wait_for_end(parts: Parts, task_id: UUID, seconds: float) -> None:
    """Return once the task has ended, after ``seconds`` if it does not, and at once when the process stops."""
    watch = parts.changes.watch(task_id, waits=True)
    try:
        await watch.end_of_task(seconds)
    finally:
        parts.changes.leave(watch)


async def row_when_ended(
    parts: Parts, scope: Any, row: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, dict[str, str]]:
    """The row of a task after the wait that a request asks for, and the header that says so; None: it is no longer
    kept. Raises what is wrong with a key that has ended meanwhile.
    """
    seconds = wait_of(scope, parts.settings.wait_seconds)
    if seconds is None:
        return row, {}
    applied = {APPLIED: f"wait={seconds}"}
    if row["state"] in TERMINAL:
        return row, applied
    await while_still(scope, wait_for_end(parts, row["id"], seconds))
    async with parts.store.statement() as connection:
        return await reading.task(connection, row["id"]), applied


async def answer_when_ended(parts: Parts, scope: Any, task_id: str, receipt: Answer) -> Answer:
    """The answer to a submission after the wait that it asks for: 200 with the task if it has ended, else ``receipt``
    with the task as it is. The task is stored, so nothing that goes wrong from here on is an error of its caller.
    """
    seconds = wait_of(scope, parts.settings.wait_seconds)
    if seconds is None:
        return receipt
    headers = [*receipt.headers, (APPLIED.lower().encode(), b"wait=%d" % seconds)]
    try:
        await while_still(scope, wait_for_end(parts, UUID(task_id), seconds))
        async with parts.store.statement() as connection:
            row = await reading.task(connection, task_id)
    except (ExpectedFault, Unavailable, Unauthorized) as error:
        log.info("a task that was waited for cannot be read now", reason=f"{type(error).__name__}: {error}")
        row = None
    if row is None:
        return receipt._replace(headers=headers)
    return Answer(200 if row["state"] in TERMINAL else receipt.status, headers, json_bytes(task_view(row)))

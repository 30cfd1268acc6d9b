"""One task with all that is kept of it: its attempts, what it was run again from and as, what it wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pointsman_service.observe.tasks.attempts import Attempt, attempts_of
from pointsman_service.observe.tasks.run_logs import START, LogLine, page_of
from pointsman_service.observe.tasks.task import Task, task_of
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import reading, replaying
from pointsman_service.store.tasks.pages import moment_of
from pointsman_service.store.tasks.replaying import Tie
from pointsman_service.store.tasks.run_logs import Written

__all__ = ["LogLine", "SeenTask", "TaskReader", "Tie", "Wrote", "named_at"]

MOST_ATTEMPTS = 50
_LINES_AT_ONCE = 500
_MOST_PAGES = 20
"""Of an attempt 64 KiB are kept, which are no more."""


@dataclass(frozen=True, slots=True)
class SeenTask:
    """A task as it was at one moment."""

    task: Task
    attempts: Sequence[Attempt]
    """The newest, at most ``MOST_ATTEMPTS``; the oldest of them first."""
    made_from: Tie | None
    """How it came of the task that it runs again."""
    asked_for: datetime | None
    """When its submission, or who changed it, wanted it to start; None: at once, or after a delay."""
    became: Tie | None
    """What it was run again as, or taken back for."""
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Wrote:
    """The last lines of one attempt."""

    lines: Sequence[LogLine]
    written: Written | None
    """None: it wrote nothing, as far as is known."""


class TaskReader:
    """Reads single tasks for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, task_id: UUID) -> SeenTask | None:
        """The task, or None. Raises the store's errors."""
        async with self._store.statement() as connection:
            row = await reading.task(connection, task_id)
            if row is None:
                return None
            after = max(0, row["attempt"] - MOST_ATTEMPTS)
            failed = await reading.failed_attempts(connection, task_id, after, MOST_ATTEMPTS)
            ids = [one for one in (task_id, row["replayed_from"]) if one is not None]
            ties = {tie.task_id: tie for tie in await replaying.ties(connection, ids)}
        made_from = None if row["replayed_from"] is None else ties.get(row["replayed_from"])
        if made_from is not None and made_from.replayed_as != task_id:
            made_from = None
        return SeenTask(
            task=task_of(row),
            attempts=attempts_of(row, failed),
            made_from=made_from,
            asked_for=row["scheduled_at"],
            became=ties.get(task_id),
            read_at=row["read_at"],
        )

    async def wrote(self, task_id: UUID, attempt: int, most: int) -> Wrote:
        """The last lines of an attempt, ``most`` at most. Raises the store's errors."""
        lines: list[LogLine] = []
        after, written = START, None
        async with self._store.statement() as connection:
            for _ in range(_MOST_PAGES):
                page = await page_of(connection, task_id, attempt, attempt, after, _LINES_AT_ONCE)
                lines += page.lines
                written = next((one for one in page.attempts if one.attempt == attempt), written)
                if not page.following:
                    break
                after = page.position
        return Wrote(lines[-most:], written)


def named_at(task_id: UUID) -> datetime | None:
    """When an id was made, as it says itself; None for one that no task has: of another kind, or of a day to come."""
    if task_id.version != 7:
        return None
    at = moment_of(task_id)
    return at if at.timestamp() <= datetime.now(UTC).timestamp() + 3600 else None

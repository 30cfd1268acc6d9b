"""Error groups for one process: a page of them by a filter, and one with all that is known of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pointsman_service.failures.standing import GroupState
from pointsman_service.observe import errors
from pointsman_service.observe.errors import GroupPage, WholeGroup
from pointsman_service.store import clock
from pointsman_service.store.errors.reading import GroupFilter, begin_of_window
from pointsman_service.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is narrowed to; None means everything."""

    window_seconds: float
    """So far back is counted; only groups that occurred within it are listed."""
    state: GroupState | None = None
    task_type: str | None = None
    error_type: str | None = None
    queue: str | None = None
    blamed: str | None = None
    """The circuit breaker that they count for: ``dependency:smtp``."""
    most_first: bool = False
    """By occurrences within the window; otherwise what changed last comes first."""
    after: tuple[int, UUID] | None = None
    """``GroupPage.following`` of the page before."""


class ErrorReader:
    """Reads error groups. Raises what ``Store`` raises."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: Wanted, most: int) -> GroupPage:
        """A page of groups."""
        async with self._store.statement() as connection:
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
            since, step = begin_of_window(now, wanted.window_seconds)
            narrowed = GroupFilter(
                since=since,
                step_seconds=step,
                state=wanted.state,
                task_type=wanted.task_type,
                error_type=wanted.error_type,
                queue=wanted.queue,
                blamed=wanted.blamed,
                most_first=wanted.most_first,
                after=wanted.after,
            )
            return await errors.page(connection, narrowed, most, now)

    async def find(self, group_id: UUID, window_seconds: float) -> WholeGroup:
        """One group. Raises ``UnknownErrorGroup``."""
        async with self._store.statement() as connection:
            now = datetime.fromtimestamp(await clock.now(connection), UTC)
            return await errors.find(connection, group_id, now, window_seconds)

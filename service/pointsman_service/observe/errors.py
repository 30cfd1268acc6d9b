"""Failures with one cause: how many, since when, whether that is news, and what somebody said of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_service.errors import UnknownErrorGroup
from pointsman_service.failures.standing import GroupState
from pointsman_service.store.errors import reading
from pointsman_service.store.errors.reading import CountRow, GroupFilter
from pointsman_service.store.store import Connection

_NEW_FOR = timedelta(days=1)
_MOST_CHANGES = 100


@dataclass(frozen=True, slots=True)
class Ignored:
    """What ends that a group is ignored; None: not that."""

    until: datetime | None
    per_hour: int | None
    count: int | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """One group, and what occurred of it since a moment."""

    id: UUID
    task_type: str
    error_type: str | None
    message: str
    """Without what differs each time."""
    blamed: str | None
    """The circuit breaker that it counts for."""
    state: GroupState
    is_new: bool
    """First seen within a day, and nobody has dealt with it."""
    is_back_again: bool
    """It was resolved, or ignored within a limit, and is open because it occurred again."""
    count: int
    """Attempts that failed so since then."""
    tasks: int
    """Tasks that failed for good so since then."""
    sparkline: Sequence[int]
    """``count`` by step, the oldest first."""
    first_seen_at: datetime
    last_seen_at: datetime
    changed_at: datetime
    occurrences: int
    """Attempts that failed so, ever."""
    failed_tasks: int
    """Tasks that failed for good so, ever."""
    example_task_id: UUID
    example_attempt: int
    example_message: str
    set_at: datetime | None
    set_by: str | None
    set_reason: str | None
    ignored: Ignored | None


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups, and what their figures count."""

    groups: Sequence[ErrorGroup]
    since: datetime
    step_seconds: int
    following: tuple[int, UUID] | None
    """Place and id where the next page goes on; None: this is the last."""


@dataclass(frozen=True, slots=True)
class WholeGroup:
    """One group with all that is known of it."""

    group: ErrorGroup
    since: datetime
    step_seconds: int
    traceback: str
    recent_tasks: Sequence[Mapping[str, Any]]
    """Some of the newest, as far as they are kept: id, state, queue, attempt, finished_at."""
    changes: Sequence[Mapping[str, Any]]
    """Of its state, the newest first: at, before, after, actor, reason."""


def shown_to(group: ErrorGroup, *, reads_payloads: bool) -> ErrorGroup:
    """The group as somebody sees it who may, or may not, see messages of errors."""
    return group if reads_payloads else replace(group, message="", example_message="")


async def page(connection: Connection, wanted: GroupFilter, most: int, now: datetime) -> GroupPage:
    """A page of groups."""
    rows = await reading.page(connection, wanted, most + 1)
    shown = rows[:most]
    ids = [row["id"] for row in shown]
    counted = _by_group(await reading.counts(connection, ids, wanted.since, wanted.step_seconds, wanted.queue))
    steps = _steps(wanted.since, wanted.step_seconds, now)
    following = (shown[-1]["place"], shown[-1]["id"]) if len(rows) > most else None
    groups = [_group(row, counted[row["id"]], steps) for row in shown]
    return GroupPage(groups, wanted.since, wanted.step_seconds, following)


async def find(connection: Connection, group_id: UUID, now: datetime, window_seconds: float) -> WholeGroup:
    """One group. Raises ``UnknownErrorGroup``."""
    row = await reading.find(connection, group_id)
    if row is None:
        raise UnknownErrorGroup
    since, step = reading.begin_of_window(now, window_seconds)
    counted = await reading.counts(connection, [group_id], since, step)
    return WholeGroup(
        group=_group(row, counted, _steps(since, step, now)),
        since=since,
        step_seconds=step,
        traceback=row["example_traceback"],
        recent_tasks=await reading.tasks(connection, row["recent_task_ids"]),
        changes=await reading.changes(connection, group_id, _MOST_CHANGES),
    )


def _by_group(rows: Iterable[CountRow]) -> defaultdict[UUID, list[CountRow]]:
    found: defaultdict[UUID, list[CountRow]] = defaultdict(list)
    for row in rows:
        found[row.error_group].append(row)
    return found


def _steps(since: datetime, step_seconds: int, now: datetime) -> list[float]:
    first = since.timestamp()
    return [first + step_seconds * number for number in range(int((now.timestamp() - first) // step_seconds) + 1)]


def _group(row: Mapping[str, Any], counted: Sequence[CountRow], steps: Sequence[float]) -> ErrorGroup:
    by_step = {one.since.timestamp(): one.occurrences for one in counted}
    state = GroupState(row["state"])
    is_open = state is GroupState.OPEN
    lately = row["read_at"] - row["first_seen_at"] < _NEW_FOR
    return ErrorGroup(
        id=row["id"],
        task_type=row["task_type"],
        error_type=row["error_type"],
        message=row["message"],
        blamed=row["blamed"],
        state=state,
        is_new=is_open and lately and row["set_at"] is None,
        is_back_again=is_open and row["came_back"],
        count=sum(one.occurrences for one in counted),
        tasks=sum(one.tasks for one in counted),
        sparkline=[by_step.get(step, 0) for step in steps],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        changed_at=row["changed_at"],
        occurrences=row["occurrences"],
        failed_tasks=row["tasks"],
        example_task_id=row["example_task_id"],
        example_attempt=row["example_attempt"],
        example_message=row["example_message"],
        set_at=row["set_at"],
        set_by=row["set_by"],
        set_reason=row["set_reason"],
        ignored=Ignored(row["ignored_until"], row["ignored_per_hour"], row["ignored_count"])
        if state is GroupState.IGNORED
        else None,
    )

"""Which failures there were, by their group: deltas written with the rows that moved, folded by a leader."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_contract.states import TaskState
from pointsman_service.failures.fingerprint import REST_MESSAGE, VERSION, rest_of
from pointsman_service.failures.message import normalised
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.errors import carrying
from pointsman_service.store.listeners import Ended, Ends

_DELTA = {
    "error_group": "uuid",
    "queue": "text",
    "minute": "timestamptz",
    "occurrences": "integer",
    "tasks": "integer",
    "last_seen_at": "timestamptz",
    "example_task_id": "uuid",
    "example_attempt": "smallint",
}
_ADD = text(f"INSERT INTO error_delta ({', '.join(_DELTA)}) SELECT * FROM " + array_columns(_DELTA))

_GROUP = {
    "id": "uuid",
    "version": "smallint",
    "task_type": "text",
    "error_type": "text",
    "message": "text",
    "blamed": "text",
    "first_seen_at": "timestamptz",
    "last_seen_at": "timestamptz",
    "example_task_id": "uuid",
    "example_attempt": "smallint",
    "example_message": "text",
    "example_traceback": "text",
}
# By rising id, as everybody who writes several.
_BEGIN = text(
    f"INSERT INTO error_group ({', '.join(_GROUP)}, news_at) SELECT {', '.join(_GROUP)}, first_seen_at FROM "
    + array_columns(_GROUP)
    + " ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id, task_type"
)


@dataclass(slots=True)
class _Delta:
    occurrences: int
    tasks: int
    newest: Ended


async def note(connection: AsyncConnection, ends: Ends, known: Collection[str] = ()) -> None:
    """Write down each failure that counts, in the transaction of the rows: an attempt that failed and that another
    follows, or the end of a task as failed. Groups in ``known`` are there already, the others are begun.

    What was interrupted is no failure, nor what ended because it was to be cancelled.
    """
    deltas: dict[tuple[str, str, datetime], _Delta] = {}
    first: dict[str, Ended] = {}
    for one, is_last in _counted(ends):
        group, at = one.end.error_group, one.end.finished_at
        if group is None:
            continue
        key = (group, one.moved.queue, at.replace(second=0, microsecond=0))
        delta = deltas.get(key)
        if delta is None:
            deltas[key] = _Delta(1, is_last, one)
        else:
            delta.occurrences += 1
            delta.tasks += is_last
            if at >= delta.newest.end.finished_at:
                delta.newest = one
        if group not in known and (group not in first or at < first[group].end.finished_at):
            first[group] = one
    if first:
        groups = _columns(_GROUP, [_begun(group, first[group]) for group in sorted(first)])
        begun = {row.id: row.task_type for row in await connection.execute(_BEGIN, groups)}
        await carrying.carry(connection, begun)
    if deltas:
        await connection.execute(_ADD, _columns(_DELTA, [_added(key, deltas[key]) for key in sorted(deltas)]))


def _counted(ends: Ends) -> Iterator[tuple[Ended, bool]]:
    for one in ends.retried:
        yield one, False
    for one in ends.tasks:
        if one.moved.state == TaskState.FAILED:
            yield one, True


def _added(key: tuple[str, str, datetime], delta: _Delta) -> tuple[object, ...]:
    end = delta.newest.end
    return *key, delta.occurrences, delta.tasks, end.finished_at, end.id, delta.newest.moved.attempt


def _begun(group: str, one: Ended) -> tuple[object, ...]:
    moved, end = one
    rest = group == rest_of(moved.task_type)
    return (
        group,
        VERSION,
        moved.task_type,
        None if rest else end.error_type,
        REST_MESSAGE if rest else normalised(end.error_message or ""),
        end.blamed,
        end.finished_at,
        end.finished_at,
        end.id,
        moved.attempt,
        end.error_message or "",
        end.error_traceback or "",
    )


def _columns(names: Iterable[str], rows: list[tuple[object, ...]]) -> dict[str, object]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))

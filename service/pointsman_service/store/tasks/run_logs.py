"""Lines that managed runs wrote, beside their attempts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from pointsman_contract.run_log import ATTEMPT_BYTES
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection


class Lines(NamedTuple):
    """Lines of one attempt that follow one another, as a worker sent them."""

    task_id: str
    attempt: int
    run: str
    first_line: int
    line_count: int
    is_last: bool
    lines: str
    """JSON array."""


@dataclass(frozen=True, slots=True)
class StoredLines:
    """The same as it is kept."""

    id: int
    task_id: UUID
    attempt: int
    first_line: int
    line_count: int
    lines: str


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of all lines of an attempt."""

    attempt: int
    written: int
    """So many, as far as they have come in."""
    kept: int
    is_complete: bool
    """Whether its run told of its last line. False of one that goes on, and of one whose last lines were lost."""


_KINDS = {
    "task_id": "uuid",
    "attempt": "smallint",
    "run": "text",
    "first_line": "integer",
    "line_count": "integer",
    "is_last": "boolean",
    "lines": "text",
}
# Whoever follows by rising id misses nothing: what has the higher one is committed later.
_TURN = text("SELECT pg_try_advisory_xact_lock(hashtext('pointsman run logs'))")
# Whatever comes twice is there once. OFFSET keeps the planner from reading all tasks for a few.
_ADD = text(
    f"INSERT INTO run_log ({', '.join(_KINDS)}) SELECT {', '.join(f'e.{name}' for name in _KINDS)} FROM "
    + array_columns(_KINDS, "e")
    + """
    WHERE EXISTS (SELECT FROM task_live t WHERE t.id = e.task_id OFFSET 0)
        OR EXISTS (SELECT FROM task t WHERE t.id = e.task_id OFFSET 0)
    ON CONFLICT DO NOTHING
"""
)
# The newest lines of an attempt stay.
_BOUND = text(
    """
    DELETE FROM run_log WHERE id IN (
        SELECT id FROM (
            SELECT l.id, sum(octet_length(l.lines)) OVER (
                PARTITION BY l.task_id, l.attempt ORDER BY l.first_line DESC, l.id DESC) AS bytes
            FROM """
    + array_columns({"task_id": "uuid", "attempt": "smallint"}, "e")
    + f"""
            JOIN run_log l ON l.task_id = e.task_id AND l.attempt = e.attempt
            WHERE l.task_id = ANY(CAST(:task_id AS uuid[]))
        ) AS counted WHERE bytes > {ATTEMPT_BYTES})
"""
)
# A task has few of them, and the planner may hope to find those sooner among all there are. OFFSET keeps it from that.
_PAGE = text("""
    SELECT id, task_id, attempt, first_line, line_count, lines FROM (
        SELECT * FROM run_log WHERE task_id = CAST(:task AS uuid) OFFSET 0
    ) AS of_task
    WHERE id >= :since AND line_count > 0 AND (CAST(:attempt AS int) IS NULL OR attempt = CAST(:attempt AS int))
    ORDER BY id LIMIT :most
""")
_WRITTEN = text("""
    SELECT attempt, sum(written)::bigint AS written, sum(kept)::bigint AS kept, bool_and(is_complete) AS is_complete
    FROM (
        SELECT attempt, max(first_line + line_count - 1) AS written, sum(line_count) AS kept,
            bool_or(is_last) AS is_complete
        FROM run_log WHERE task_id = CAST(:task AS uuid) AND attempt = ANY(CAST(:attempts AS smallint[]))
        GROUP BY attempt, run
    ) AS runs
    GROUP BY attempt ORDER BY attempt
""")
_NEWEST = text("SELECT coalesce(max(id), 0) FROM run_log")
# Likewise.
_NEW = text("""
    SELECT id, task_id, attempt, first_line, line_count, lines FROM (
        SELECT * FROM run_log WHERE task_id = ANY(CAST(:tasks AS uuid[])) OFFSET 0
    ) AS of_tasks
    WHERE id > :after AND line_count > 0 ORDER BY id LIMIT :most
""")
_ENDED = text("""
    SELECT w.id, EXISTS (
        SELECT FROM run_log l WHERE l.task_id = w.id AND l.is_last
            AND l.attempt = (SELECT t.attempt FROM task t WHERE t.id = w.id)
    ) AS is_complete
    FROM unnest(CAST(:tasks AS uuid[])) AS w (id)
    WHERE NOT EXISTS (SELECT FROM task_live t WHERE t.id = w.id)
""")


async def add(connection: Connection, entries: Sequence[Lines]) -> bool:
    """Keep these lines, in this order, and of each attempt its newest; in a transaction. What is there already, and
    what is of no task that is there, changes nothing. False: another process does so now, and nothing was written.
    """
    if not (await connection.execute(_TURN)).scalar_one():
        return False
    columns = zip(*entries, strict=True)
    parameters = {name: list(column) for name, column in zip(_KINDS, columns, strict=True)}
    await connection.execute(_ADD, parameters)
    # What an attempt writes first and last at once is bounded by its entry.
    more = sorted({(entry.task_id, entry.attempt) for entry in entries if entry.first_line > 1})
    if more:
        await connection.execute(_BOUND, {"task_id": [one[0] for one in more], "attempt": [one[1] for one in more]})
    return True


async def page(
    connection: Connection, task: UUID | str, attempt: int | None, since: int, most: int
) -> list[StoredLines]:
    """The lines of a task, or of one attempt, as they came in: at most ``most`` rows from the id ``since`` on."""
    rows = await connection.execute(_PAGE, {"task": task, "attempt": attempt, "since": since, "most": most})
    return [_stored(row) for row in rows]


async def written(connection: Connection, task: UUID | str, attempts: Collection[int]) -> list[Written]:
    """What is known of these attempts, by their numbers."""
    rows = await connection.execute(_WRITTEN, {"task": task, "attempts": sorted(attempts)})
    return [Written(row.attempt, row.written, row.kept, row.is_complete) for row in rows]


async def newest(connection: Connection) -> int:
    """The id of the newest row; 0 before the first."""
    found: int = (await connection.execute(_NEWEST)).scalar_one()
    return found


async def new_of(connection: Connection, tasks: Collection[UUID], after: int, most: int) -> list[StoredLines]:
    """What came in of these tasks after that id, at most ``most`` rows."""
    rows = await connection.execute(_NEW, {"tasks": list(tasks), "after": after, "most": most})
    return [_stored(row) for row in rows]


async def ended(connection: Connection, tasks: Collection[UUID]) -> dict[UUID, bool]:
    """Those of these tasks that have ended, or are not there, and whether the last lines of each have come in. Of one
    that wrote none nobody knows.
    """
    return {row.id: row.is_complete for row in await connection.execute(_ENDED, {"tasks": list(tasks)})}


def _stored(row: Any) -> StoredLines:
    return StoredLines(row.id, row.task_id, row.attempt, row.first_line, row.line_count, row.lines)

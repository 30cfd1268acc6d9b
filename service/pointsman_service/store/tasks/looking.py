"""One look at tasks for a list: so many rows of one table, down an index or all that an index finds.

A look asks of each row whether it meets the filter. What it reads is bounded by rows looked at and not by rows found:
a filter that nothing meets costs as much as one that everything meets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from pointsman_contract.states import Place, TaskState
from pointsman_service.store.models.tasks import FACETS
from pointsman_service.store.store import Connection
from pointsman_service.store.tasks.reading import TaskFilter, conditions_of

MOST_GATHERED = 2_000
"""So many rows are fetched from all over a table."""
MOST_SENT = 20_000
"""So many are sent at once at most: a few seconds of what all workers do."""

_BOUNDS = "id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid)"
_DOWN = "ORDER BY id DESC LIMIT :looks"
_LOOK = """
    WITH looked AS MATERIALIZED ({looked})
    SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
        (SELECT count(*) FROM looked WHERE hit) AS hits,
        ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found
"""
_SIDE = "SELECT id, ({hit}) AS hit FROM {table} WHERE {where} {end}"
# Its own order is that of the ids that were run again.
_REPLAYED = f"""
    SELECT id, (SELECT ({{hit}}) FROM task WHERE task.id = again.id) AS hit
    FROM (SELECT r.task_id AS id, r.undone FROM replayed_task r) AS again WHERE NOT undone AND {_BOUNDS} {_DOWN}
"""
_NEXT_OF_FINISHED = """
    WITH looked AS MATERIALIZED ({looked}),
    hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
    SELECT (SELECT count(*) FROM looked) AS looked,
        (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
        (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
        ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
        ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at
"""
_FINISHED_SIDE = "SELECT id, finished_at, ({hit}) AS hit FROM task WHERE {where} {end}"
_BY_FINISH = "ORDER BY finished_at DESC, id DESC LIMIT :looks"
# So many that were run again, wherever they ended: each is asked for by its id.
_REPLAYED_BELOW = """
    SELECT r.task_id AS id, t.finished_at, NOT r.undone AND coalesce(t.hit, false) AS hit
    FROM (SELECT task_id, undone FROM replayed_task LIMIT :looks) AS r LEFT JOIN LATERAL (
        SELECT finished_at, ({hit}) AND {below} AS hit FROM task WHERE task.id = r.task_id OFFSET 0
    ) AS t ON true
"""
_FINISHED_BELOW = "(finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid))"

_NOT_SUCCEEDED = (TaskState.CANCELLED, TaskState.EXPIRED, TaskState.FAILED)
_PLACES = {
    TaskState.QUEUED: (Place.WAITING, Place.SENT),
    TaskState.RUNNING: (Place.SENT,),
    TaskState.HELD: (Place.HELD,),
    TaskState.SCHEDULED: (Place.ASLEEP,),
    TaskState.RETRYING: (Place.ASLEEP,),
}
_OF_QUEUE = " AND queue = :queue"
_NAME_OF_WORKER = "split_part(CAST(:worker AS text), '#', 1)"
_IN_ORDER = frozenset({Place.HELD, Place.ASLEEP})
"""Of these an index has the ids in their order."""


@dataclass(frozen=True, slots=True)
class Gather:
    """A look at all rows that an index finds, in no order; one that finds ``looks`` of them says nothing."""

    statement: TextClause
    looks: int
    by_bitmap: bool
    """Its index cannot be read row by row."""
    comes_first: bool
    """The rows that it looks at are few whatever the table holds."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks at one table that a filter asks for."""

    down: TextClause
    """The newest ids first."""
    gather: Gather | None


def at_live(wanted: TaskFilter) -> Looks:
    """How unfinished tasks are looked at."""
    hit = _hit(wanted, live=True)
    places = () if wanted.state is None else _PLACES[wanted.state]
    if wanted.held_reason is not None:
        places = (Place.HELD,)
    which = []
    if len(places) == 1 and places[0] in _IN_ORDER:
        which = [f"place = '{places[0]}'"]
    return Looks(_down("task_live", hit, which), _gather_live(wanted, hit, places))


def at_ended(wanted: TaskFilter) -> Looks:
    """How ended tasks are looked at."""
    hit = _hit(wanted)
    if wanted.replayed:
        down = text(_LOOK.format(looked=_REPLAYED.format(hit=hit)))
    else:
        down = _down("task", hit, _ways(wanted))
    found = _facets(wanted)
    return Looks(down, None if found is None else Gather(_gathered("task", hit, [found]), MOST_GATHERED, True, False))


def at_finished(wanted: TaskFilter) -> Looks:
    """How ended tasks are looked at by their finish: the last that ended first."""
    hit = _hit(wanted)
    after = [] if wanted.finished_after is None else ["finished_at >= :finished_after"]
    sides = [
        _FINISHED_SIDE.format(hit=hit, where=" AND ".join([way, *after, _FINISHED_BELOW]), end=_BY_FINISH)
        for way in _ways(wanted, by_finish=True) or ["true"]
    ]
    down = text(_NEXT_OF_FINISHED.format(looked=_merged(sides, _BY_FINISH)))
    found = _facets(wanted)
    if wanted.replayed:
        side, by_bitmap = _REPLAYED_BELOW.format(hit=hit, below=_FINISHED_BELOW), False
    elif found is not None:
        within = f"{found} AND finished_at >= CAST(:low_at AS timestamptz) AND {_FINISHED_BELOW}"
        side, by_bitmap = _FINISHED_SIDE.format(hit=hit, where=within, end="LIMIT :looks"), True
    else:
        return Looks(down, None)
    return Looks(down, Gather(text(_NEXT_OF_FINISHED.format(looked=side)), MOST_GATHERED, by_bitmap, False))


def _hit(wanted: TaskFilter, *, live: bool = False) -> str:
    return " AND ".join(conditions_of(wanted, live=live)[0]) or "true"


def _ways(wanted: TaskFilter, *, by_finish: bool = False) -> list[str]:
    """Conditions whose index has the ids in order, one of which each task meets; none: that of all ids."""
    if wanted.state in _NOT_SUCCEEDED:
        return [f"state = '{wanted.state}'"]
    if any(value is not None for value in (wanted.error_type, wanted.error_group, wanted.error_message)):
        # No task that succeeded has an error.
        return [f"state = '{state}'" for state in _NOT_SUCCEEDED]
    if wanted.task_type is not None and not by_finish:
        return ["task_type = :task_type"]
    return []


def _facets(wanted: TaskFilter) -> str | None:
    """A condition that the index of facets looks up; whoever uses it asks again, for two words may share a number."""
    by_letter = {
        "t": ("task_type", wanted.task_type),
        "q": ("queue", wanted.queue),
        "c": ("caller", wanted.caller),
        # All lives of a worker have one number; the hit tells them apart.
        "w": ("worker", wanted.worker),
        "e": ("error_type", wanted.error_type),
        "g": ("error_group", wanted.error_group),
    }
    numbers = [
        f"hashtext('{letter}' || {_NAME_OF_WORKER if name == 'worker' else f'CAST(:{name} AS text)'})"
        for letter, (name, value) in by_letter.items()
        if value is not None
    ]
    if max(wanted.attempts or 0, wanted.attempts_at_least or 0) > 1:
        numbers.append("2")
    tags = conditions_of(TaskFilter(tags=wanted.tags))[0]
    found = [*tags, *([f"{FACETS} @> ARRAY[{', '.join(numbers)}]"] if numbers else [])]
    return " AND ".join(found) or None


def _gather_live(wanted: TaskFilter, hit: str, places: Sequence[Place]) -> Gather | None:
    if wanted.tags:
        tags = conditions_of(TaskFilter(tags=wanted.tags))[0]
        return Gather(_gathered("task_live", hit, [" AND ".join(tags)]), MOST_GATHERED, True, False)
    if wanted.held_reason is not None:
        of_reason = f"place = '{Place.HELD}' AND held_reason = :held_reason"
        return Gather(_gathered("task_live", hit, [of_reason]), MOST_GATHERED, False, False)
    if wanted.queue is not None and not places:
        # By queue where an index has it; of the others all, as long as they are few.
        ways = [f"place = '{place}'{'' if place in _IN_ORDER else _OF_QUEUE}" for place in sorted(Place)]
        return Gather(_gathered("task_live", hit, ways), MOST_GATHERED, False, False)
    if not places or places[0] in _IN_ORDER:
        return None
    queue = "" if wanted.queue is None else _OF_QUEUE
    statement = _gathered("task_live", hit, [f"place = '{place}'{queue}" for place in places])
    if Place.WAITING in places:
        return Gather(statement, MOST_GATHERED, False, False)
    return Gather(statement, MOST_SENT, False, True)


def _down(table: str, hit: str, ways: Sequence[str]) -> TextClause:
    sides = [_side(table, hit, way, _DOWN) for way in ways or ["true"]]
    return text(_LOOK.format(looked=_merged(sides, _DOWN)))


def _gathered(table: str, hit: str, ways: Sequence[str]) -> TextClause:
    sides = [_side(table, hit, way, "LIMIT :looks") for way in ways]
    return text(_LOOK.format(looked=_merged(sides, "LIMIT :looks")))


def _side(table: str, hit: str, way: str, end: str) -> str:
    return _SIDE.format(table=table, hit=hit, where=f"{way} AND {_BOUNDS}", end=end)


def _merged(sides: Sequence[str], end: str) -> str:
    if len(sides) == 1:
        return sides[0]
    return f"SELECT * FROM ({' UNION ALL '.join(f'({side})' for side in sides)}) AS sides {end}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has found."""

    looked: int
    last: Any
    """The last that was looked at, if any."""
    found: list[Any]
    """Those that meet the filter, in the order of the list."""
    hits: int = 0
    """How many meet it, those that were not told too; of a look by finish 0."""


async def look(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> Seen:
    """Look at rows with ids from ``low`` on and below ``high``, ``looks`` at most, of which ``most`` are told."""
    row = (await connection.execute(statement, parameters)).one()
    return Seen(row.looked, row.last, list(row.found), row.hits)


async def look_by_finish(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> Seen:
    """The same down the finish, from behind ``high_at`` and ``high``; all of it in pairs of finish and id."""
    row = (await connection.execute(statement, parameters)).one()
    last = None if row.last is None else (row.last_at, row.last)
    found: list[tuple[Any, UUID]] = list(zip(row.found_at, row.found, strict=True))
    return Seen(row.looked, last, found)

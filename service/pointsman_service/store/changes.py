"""What changed, for whoever listens: written down in the transaction of the change, while somebody does.

A change is told with its commit or not at all, whatever process makes it, and Redis has no part in it. Nobody need
listen: then each statement that changes something looks at one small row, and writes nothing.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.store import Connection


class Topic(StrEnum):
    """What kind of thing changed."""

    TASKS = "tasks"
    """Tasks were submitted, moved, made progress or ended."""
    BREAKERS = "breakers"
    """A circuit breaker changed its state or its policy, or a worker was ejected or admitted."""
    ALERTS = "alerts"
    """An alert was opened, changed, acknowledged or resolved; a silence began or ended."""
    QUEUES = "queues"
    """A queue was paused or resumed."""
    ERRORS = "errors"
    """Somebody judged an error group, or one came back."""


KEPT_SECONDS = 120.0
"""How long a change is kept. No statement of ours takes that long."""
_LISTENING_SECONDS = 60.0
_LAPSED_SECONDS = 5.0
"""So much before its end a listening counts as over: a writer may have looked just before it was renewed."""
_MOST_READ = 2000
"""Changes, each of one statement. Whoever is further behind starts anew."""

LISTENED = "EXISTS (SELECT FROM live_listening WHERE until > now())"
"""SQL: whether anybody listens."""


def told(moved: str, column: str = "id") -> str:
    """SQL: an expression of a WITH that tells of the tasks ``moved``, one of these expressions; ``column`` is their id.
    Nothing of ``moved`` is read for it while nobody listens.
    """
    return (
        f"told AS (INSERT INTO live_change (task_ids) SELECT array_agg({column}) FROM {moved} WHERE {LISTENED}"
        " HAVING count(*) > 0)"
    )


_TELL_OF_TASKS = text("INSERT INTO live_change (task_ids) VALUES (CAST(:ids AS uuid[]))")
_TELL = text(f"INSERT INTO live_change (topic) SELECT CAST(:topic AS text) WHERE {LISTENED}")

_LISTEN = text("""
    INSERT INTO live_listening AS known (id, since, until)
    VALUES (1, now(), now() + CAST(:seconds AS float8) * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET until = greatest(known.until, excluded.until),
        since = CASE WHEN known.until < now() + CAST(:lapsed AS float8) * interval '1 second' THEN now()
            ELSE known.since END
    RETURNING since
""")
_FORGET = text("DELETE FROM live_change WHERE at < now() - CAST(:kept AS float8) * interval '1 second'")
_WHERE = text("SELECT CAST(pg_current_snapshot() AS text) AS snapshot, now() AS at")
# What committed after the snapshot that was read before: exactly what that could not see, in whatever order.
_SINCE = text("""
    SELECT CAST(pg_current_snapshot() AS text) AS snapshot, now() AS at, c.topic, c.task_ids FROM (SELECT) AS one
    LEFT JOIN (
        SELECT topic, CASE WHEN CAST(:named AS boolean) THEN task_ids END AS task_ids FROM live_change
        WHERE transaction >= CAST(:oldest AS bigint) AND NOT pg_visible_in_snapshot(
                CAST(CAST(transaction AS text) AS xid8), CAST(CAST(:snapshot AS text) AS pg_snapshot))
        ORDER BY transaction, id LIMIT :most
    ) AS c ON true
""")

_MARK = re.compile(r"([0-9]{1,16})\.([0-9]{1,19})\.([0-9]{1,19})((?:\.[0-9]{1,19}){0,64})")
MARK_PATTERN = f"^{_MARK.pattern}$"
"""What ``Mark.text`` looks like."""
MARK_LENGTH = 1400


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has read: a moment on the database's clock, and what could be seen at it. Any process can go on
    from it.
    """

    at: float
    """Unix seconds."""
    oldest: int
    """All transactions below were over."""
    newest: int
    """None from here on was visible."""
    open: tuple[int, ...] = ()
    """Those between that were not over."""

    @classmethod
    def of(cls, snapshot: str, at: datetime) -> Self:
        """Of a ``pg_snapshot`` as text."""
        oldest, newest, between = snapshot.split(":")
        return cls(at.timestamp(), int(oldest), int(newest), tuple(map(int, filter(None, between.split(",")))))

    @classmethod
    def from_text(cls, written: str) -> Self | None:
        """What ``text`` wrote; None for what it cannot have written."""
        found = _MARK.fullmatch(written)
        if found is None:
            return None
        at, oldest, newest, between = found.groups()
        mark = cls(int(at) / 1e6, int(oldest), int(newest), tuple(map(int, filter(None, between.split(".")))))
        bounds = (mark.oldest, *mark.open, mark.newest)
        in_order = all(one < other for one, other in zip(mark.open, mark.open[1:], strict=False))
        is_one = 0 < mark.oldest <= mark.newest < 2**63 and min(bounds) == mark.oldest
        return mark if is_one and in_order and all(one < mark.newest for one in mark.open) else None

    @property
    def text(self) -> str:
        """As an ``id`` of an event."""
        known = self.open if len(self.open) <= 64 else None
        # Of too many, all that may have been open count as such: told twice does no harm.
        newest, between = (self.newest, known) if known is not None else (self.oldest, ())
        return ".".join(map(str, (round(self.at * 1e6), self.oldest, newest, *between)))

    @property
    def snapshot(self) -> str:
        """As a ``pg_snapshot``."""
        return f"{self.oldest}:{self.newest}:{','.join(map(str, self.open))}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a mark."""

    mark: Mark
    """To read on from."""
    topics: frozenset[Topic]
    task_ids: frozenset[UUID]
    complete: bool
    """False: there was more than is read at once, and it is passed over."""


async def tell_of_tasks(connection: Connection, ids: Iterable[str]) -> None:
    """Tell of these tasks; for whoever knows that somebody listens."""
    await connection.execute(_TELL_OF_TASKS, {"ids": sorted(ids)})


async def tell(connection: Connection, topic: Topic) -> None:
    """Tell that something of this kind changes in this transaction, if anybody listens."""
    await connection.execute(_TELL, {"topic": topic})


async def listen(connection: Connection) -> float:
    """Let changes be written down for a minute from now on, and forget old ones. Returns since when (Unix seconds) they
    have been, without a break.
    """
    parameters = {"seconds": _LISTENING_SECONDS, "lapsed": _LAPSED_SECONDS}
    since: datetime = (await connection.execute(_LISTEN, parameters)).scalar_one()
    await connection.execute(_FORGET, {"kept": KEPT_SECONDS})
    return since.timestamp()


async def here(connection: Connection) -> Mark:
    """The mark of this moment."""
    row = (await connection.execute(_WHERE)).one()
    return Mark.of(row.snapshot, row.at)


async def since(connection: Connection, mark: Mark, *, named: bool = True) -> Changes:
    """What was committed since ``mark``; without the ids of tasks when they are not to be ``named``."""
    parameters = {"oldest": mark.oldest, "snapshot": mark.snapshot, "most": _MOST_READ + 1, "named": named}
    rows = (await connection.execute(_SINCE, parameters)).all()
    changed = [row for row in rows if row.topic is not None]
    known = set(Topic)
    return Changes(
        Mark.of(rows[0].snapshot, rows[0].at),
        # One that a later release writes is nobody's here.
        frozenset(Topic(row.topic) for row in changed if row.topic in known),
        frozenset(_ids(changed)),
        len(changed) <= _MOST_READ,
    )


def _ids(changed: Collection[object]) -> Iterable[UUID]:
    for row in changed:
        yield from getattr(row, "task_ids", None) or ()

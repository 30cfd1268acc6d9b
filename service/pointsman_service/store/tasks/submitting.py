"""Store accepted submissions: one statement and one commit for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pointsman_service.store.arrays import array_columns, column_of, mostly_equal_columns
from pointsman_service.store.columns import BLANK, KINDS, SUBMITTED
from pointsman_service.store.tasks.birth import births_of


@dataclass(slots=True)
class NewTask:
    """A submission that passed every check: a field for each column of ``columns.SUBMITTED``, its key, and
    whether a quota counts it.
    """

    id: str
    task_type: str
    queue: str
    priority: int
    args: str
    """JSON array."""
    kwargs: str
    """JSON object."""
    tags: str | None
    """JSON object."""
    caller: str
    scheduled_at: datetime | None
    delay_seconds: float | None
    expires_at: datetime | None
    timeout_seconds: float
    requested_timeout_seconds: float | None
    sla_seconds: float
    max_attempts: int
    traceparent: str | None
    key: str | None
    fingerprint: str | None
    sent_epoch: int | None
    """The epoch it will be published in right after the commit; None leaves it to the dispatcher."""
    dependencies: str | None = None
    """What it depends on, a line each."""
    fairness_key: str = ""
    """Its share within its caller's; empty: that of all which name none."""
    is_counted: bool = False
    """Whether its caller has a quota, which counts those that take turns: it never waits alone."""
    alone: bool = False
    """Whether it will wait, and no other share than its own is known to wait in its queue."""
    fingerprint_before: str | None = None
    """The fingerprint as the release before would have written it, where that differs."""

    def fingerprints(self) -> tuple[str | None, ...]:
        """What the body of this submission may be remembered by."""
        return self.fingerprint, self.fingerprint_before

    def depends_on(self) -> list[str]:
        """The dependencies of the task, each by name."""
        return [] if self.dependencies is None else self.dependencies.split("\n")

    def due_at(self, submitted_at: datetime) -> datetime:
        """When the task is due, if it was stored at ``submitted_at``."""
        if self.scheduled_at is not None:
            return max(submitted_at, self.scheduled_at)
        if self.delay_seconds:
            return submitted_at + timedelta(seconds=self.delay_seconds)
        return submitted_at

    def is_later(self) -> bool:
        """Whether it was submitted for another time than now."""
        return self.scheduled_at is not None or bool(self.delay_seconds)

    def is_sent(self, submitted_at: datetime) -> bool:
        """Whether the row of the task says that it goes to the broker right after the commit."""
        return self.sent_epoch is not None and self.due_at(submitted_at) == submitted_at

    def as_row(self, submitted_at: datetime) -> dict[str, Any]:
        """The row of ``task_live`` that ``store`` wrote at ``submitted_at``."""
        due_at = self.due_at(submitted_at)
        later = due_at > submitted_at
        sent = self.is_sent(submitted_at)
        return (
            BLANK
            | {name: getattr(self, name) for name in SUBMITTED}
            | {
                "tags": None if self.tags is None else from_json(self.tags),
                "dependencies": None if self.dependencies is None else self.depends_on(),
                "submitted_at": submitted_at,
                "due_at": due_at,
                "sent_at": submitted_at,
                "dispatch": 1 if sent else 0,
                "state": "scheduled" if later else "queued",
                "place": "asleep" if later else "sent" if sent else "waiting",
            }
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """What one commit did."""

    submitted_at: datetime
    outbox_ids: list[int]
    accepted: frozenset[str] | None
    """Ids that became tasks; None means all."""


KEY: Final = attrgetter("key")
"""The key of a ``NewTask``: over many of them, with ``map``, it costs less than a loop."""
_COLUMNS = {name: said.kind or KINDS[name] for name, said in SUBMITTED.items()}
_KEY_COLUMNS = {"key": "text", "fingerprint": "text"}
_INPUT = ", ".join(f"{said.made_by} AS {name}" if said.made_by else name for name, said in SUBMITTED.items())
_PUBLISHED = ", published AS (DELETE FROM outbox WHERE id = ANY(CAST(:published AS bigint[])))"

# One statement and one commit for many, whatever each costs: a column is an array. What is on the broker by now goes in
# the same commit, for the deletion alone would cost as much as the submissions.
_PLAIN = text(
    f"WITH input AS (SELECT {_INPUT} FROM "
    + mostly_equal_columns(_COLUMNS, of="id")
    + ")"
    + births_of("input")
    + f"""
{_PUBLISHED}
SELECT now() AS submitted_at, (SELECT array_agg(id) FROM boxed) AS outbox_ids"""
)

# By order of their keys, so that of two commits with the same ones none waits for the other while it waits for it.
_KEYED = text(
    f"WITH input AS (SELECT {_INPUT}, key, fingerprint FROM "
    + mostly_equal_columns(_COLUMNS | _KEY_COLUMNS, of="id")
    + """)
, claimed AS (
    INSERT INTO idempotency_key AS old (caller, key, task_id, fingerprint)
    SELECT caller, key, id, fingerprint FROM input ORDER BY caller, key
    ON CONFLICT (caller, key) DO UPDATE
        SET task_id = excluded.task_id, fingerprint = excluded.fingerprint, created_at = now()
        WHERE old.created_at < now() - CAST(:remembered AS float8) * interval '1 second'
    RETURNING task_id
)
, mine AS (SELECT input.* FROM input JOIN claimed ON claimed.task_id = input.id)"""
    + births_of("mine")
    + f"""
{_PUBLISHED}
SELECT now() AS submitted_at, (SELECT array_agg(id) FROM boxed) AS outbox_ids,
    (SELECT array_agg(task_id) FROM claimed) AS accepted"""
)

_CLAIM_KEY = text("""
    INSERT INTO idempotency_key AS old (caller, key, task_id, fingerprint)
    VALUES (:caller, :key, CAST(:id AS uuid), :fingerprint)
    ON CONFLICT (caller, key) DO UPDATE
        SET task_id = excluded.task_id, fingerprint = excluded.fingerprint, created_at = now()
        WHERE old.created_at < now() - CAST(:remembered AS float8) * interval '1 second'
    RETURNING task_id
""")

_FIND_KEYS = text(
    "SELECT k.caller, k.key, k.task_id, k.fingerprint FROM idempotency_key k JOIN "
    + array_columns({"caller": "text", "key": "text"})
    + " USING (caller, key) WHERE k.created_at >= now() - CAST(:remembered AS float8) * interval '1 second'"
)

_FIND_IDS = text("""
    SELECT id, submitted_at FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL SELECT id, submitted_at FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
        AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
""")

_WAIT_NO_LONGER = text("SELECT set_config('lock_timeout', :wait, true)")
_DROP_PUBLISHED = text("DELETE FROM outbox WHERE id = ANY(CAST(:published AS bigint[]))")

# A key that is being taken again at this moment is passed over.
_FORGET_KEYS = text("""
    DELETE FROM idempotency_key WHERE (caller, key) IN (
        SELECT caller, key FROM idempotency_key
        WHERE created_at < now() - CAST(:remembered AS float8) * interval '1 second'
        ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)
""")


async def store(
    connection: AsyncConnection, tasks: Sequence[NewTask], published: Sequence[int], remembered_seconds: float
) -> Stored:
    """Store ``tasks`` with their outbox rows and counters, and drop the outbox rows that are ``published``, all in one
    statement. Either all tasks have a key or none has; no key may stand in it twice.

    A task whose key is already taken is left out (``Stored.accepted``); a concurrent holder of the key is waited
    for, up to the connection's ``lock_timeout``.
    """
    keyed = tasks[0].key is not None
    columns = _COLUMNS | _KEY_COLUMNS if keyed else _COLUMNS
    parameters: dict[str, object] = {name: column_of(list(map(attrgetter(name), tasks))) for name in columns}
    parameters["id"] = [task.id for task in tasks]
    parameters["published"] = list(published)
    if not keyed:
        row = (await connection.execute(_PLAIN, parameters)).one()
        return Stored(row.submitted_at, row.outbox_ids or [], None)
    row = (await connection.execute(_KEYED, parameters | {"remembered": remembered_seconds})).one()
    return Stored(row.submitted_at, row.outbox_ids or [], frozenset(str(task_id) for task_id in row.accepted or []))


async def wait_no_longer(connection: AsyncConnection, milliseconds: int) -> None:
    """Wait so long at most for the holder of a key, for the rest of the transaction."""
    await connection.execute(_WAIT_NO_LONGER, {"wait": f"{milliseconds}ms"})


async def find_keys(
    connection: AsyncConnection, wanted: Sequence[tuple[str, str]], remembered_seconds: float
) -> dict[tuple[str, str], tuple[str, str]]:
    """The (task id, fingerprint) each (caller, key) stands for, if that was not too long ago."""
    parameters: dict[str, object] = {"caller": [caller for caller, _ in wanted], "key": [key for _, key in wanted]}
    rows = await connection.execute(_FIND_KEYS, parameters | {"remembered": remembered_seconds})
    return {(row.caller, row.key): (str(row.task_id), row.fingerprint) for row in rows}


async def claim_key(
    connection: AsyncConnection, caller: str, key: str, stands_for: str, fingerprint: str, remembered_seconds: float
) -> bool:
    """Let a key stand for what this transaction makes; False when it stands for something else already."""
    parameters = {"caller": caller, "key": key, "id": stands_for, "fingerprint": fingerprint}
    found = await connection.execute(_CLAIM_KEY, parameters | {"remembered": remembered_seconds})
    return found.scalar_one_or_none() is not None


async def find_ids(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, datetime]:
    """Which of these tasks are stored, with their ``submitted_at``."""
    rows = await connection.execute(_FIND_IDS, {"ids": list(ids), "low": min(ids), "high": max(ids)})
    return {str(row.id): row.submitted_at for row in rows}


async def drop_published(connection: AsyncConnection, published: Sequence[int]) -> None:
    """Delete outbox rows whose messages are on the broker."""
    await connection.execute(_DROP_PUBLISHED, {"published": list(published)})


async def forget_keys(connection: AsyncConnection, remembered_seconds: float, most: int) -> int:
    """Delete up to ``most`` keys older than ``remembered_seconds``. Returns how many."""
    return (await connection.execute(_FORGET_KEYS, {"remembered": remembered_seconds, "most": most})).rowcount

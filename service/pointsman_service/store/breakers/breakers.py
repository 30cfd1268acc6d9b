"""Circuit breakers and the history of their states."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text

from pointsman_service.store import changes
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.changes import Topic
from pointsman_service.store.store import Connection

Key = tuple[str, str]
"""Scope and name."""


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A breaker as it is stored."""

    scope: str
    name: str
    seen: str
    epoch: int
    turns_at: float | None
    """Unix seconds on the database clock."""
    machine: Mapping[str, Any]
    policy: Mapping[str, Any] | None
    policy_version: int
    last_error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One line of the history."""

    id: int
    scope: str
    name: str
    at: datetime
    epoch: int
    before: str
    after: str
    reason: str
    actor: str
    error: Mapping[str, Any] | None = None


LETS_THROUGH_AT = """CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END"""
"""SQL: ``Breaker.lets_through_at`` of a row ``b`` of ``breaker``, of one that time alone has not changed."""
IN_FIRST_DOUBT = """coalesce(b.seen = 'half_open' AND (b.machine ->> 'is_doubted')::boolean
        AND b.machine ->> 'resumes_at' IS NULL, false)"""
"""SQL: ``TaskTypeBreaker.is_first_doubt`` of a row ``b`` of ``breaker``, likewise."""

_COLUMNS = (
    "scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,"
    " last_error"
)
_KEYS = array_columns({"scope": "text", "name": "text"}, "wanted")
_FIND = text(f"SELECT {_COLUMNS} FROM breaker JOIN {_KEYS} USING (scope, name) ORDER BY scope, name")
_LOCK = text(f"SELECT {_COLUMNS} FROM breaker JOIN {_KEYS} USING (scope, name) ORDER BY scope, name FOR UPDATE")
_LIST = text(f"""
    SELECT {_COLUMNS} FROM breaker
    WHERE (CAST(:scope AS text) IS NULL OR scope = :scope) AND (CAST(:seen AS text) IS NULL OR seen = :seen)
        AND (scope, name) > (:after_scope, :after_name)
    ORDER BY scope, name LIMIT :most
""")
_NOT_CLOSED = text(f"""
    SELECT {_COLUMNS} FROM breaker
    WHERE seen <> 'closed' AND (CAST(:scope AS text) IS NULL OR scope = :scope) ORDER BY scope, name LIMIT :most
""")
# One with an epoch moved once: reports name that epoch, so Redis must go on saying it.
_UNUSUAL = text(f"""
    SELECT {_COLUMNS} FROM breaker
    WHERE scope <> 'worker' AND (seen <> 'closed' OR policy IS NOT NULL OR epoch > 0) ORDER BY scope, name
""")
_DUE = text("""
    SELECT scope, name FROM breaker WHERE turns_at <= now() ORDER BY turns_at LIMIT :most
""")
_ADD = text(f"""
    INSERT INTO breaker (scope, name, seen, machine)
    SELECT scope, name, 'closed', '{{}}' FROM {_KEYS} ORDER BY scope, name
    ON CONFLICT DO NOTHING
""")
_COUNT = text("SELECT count(*) FROM breaker")
_COUNTS = text("SELECT scope, seen, count(*) AS breakers FROM breaker GROUP BY scope, seen")
_GUARDED = text("""
    SELECT EXISTS (SELECT FROM breaker WHERE scope = :scope AND name = :name)
        OR EXISTS (SELECT FROM task_type WHERE :scope = 'task_type' AND name = :name)
        OR EXISTS (SELECT FROM worker WHERE :scope = 'worker' AND name = :name)
        OR EXISTS (SELECT FROM task_type WHERE :scope = 'dependency'
            AND spec -> 'dependencies' @> to_jsonb(CAST(:name AS text)))
""")
_GUARDED_NAMES = text("""
    SELECT name FROM (
        SELECT name FROM breaker WHERE scope = :scope
        UNION SELECT name FROM task_type WHERE :scope = 'task_type'
        UNION SELECT name FROM worker WHERE :scope = 'worker'
        UNION SELECT jsonb_array_elements_text(spec -> 'dependencies') FROM task_type WHERE :scope = 'dependency'
    ) AS guarded
    ORDER BY abs(length(name) - CAST(:length AS integer)), name LIMIT :most
""")
_SAVED = {
    "scope": "text",
    "name": "text",
    "seen": "text",
    "epoch": "integer",
    "turns_at": "float8",
    "machine": "text",
    "policy": "text",
    "policy_version": "integer",
    "last_error": "text",
}
_SAVE = text(
    "UPDATE breaker b SET seen = n.seen, epoch = n.epoch, turns_at = to_timestamp(n.turns_at),"
    " machine = n.machine::jsonb, policy = n.policy::jsonb, policy_version = n.policy_version,"
    " last_error = n.last_error::jsonb, updated_at = now() FROM "
    + array_columns(_SAVED, "n")
    + " WHERE b.scope = n.scope AND b.name = n.name"
)
_FORGET = text("""
    DELETE FROM breaker WHERE (scope, name) IN (
        SELECT scope, name FROM breaker WHERE seen = 'closed' AND policy IS NULL
            AND updated_at < now() - CAST(:age AS float8) * interval '1 second'
        FOR UPDATE SKIP LOCKED)
""")

# Held to the end of the transaction, so that ids become visible in their order and no listener misses one.
_IN_ORDER = text("SELECT pg_advisory_xact_lock(hashtextextended('pointsman breaker transitions', 0))")
_KEPT = {
    "scope": "text",
    "name": "text",
    "at": "timestamptz",
    "epoch": "integer",
    "before": "text",
    "after": "text",
    "reason": "text",
    "actor": "text",
    "error": "text",
}
_KEEP = text(
    f"INSERT INTO breaker_transition ({', '.join(_KEPT)}) SELECT "
    + ", ".join(f"{name}::jsonb" if name == "error" else name for name in _KEPT)
    + " FROM "
    + array_columns(_KEPT)
)
_HISTORY = text(f"""
    SELECT id, {", ".join(_KEPT)} FROM breaker_transition
    WHERE scope = :scope AND name = :name AND id < :below ORDER BY id DESC LIMIT :most
""")
_LATELY = text(f"""
    SELECT t.* FROM {_KEYS} CROSS JOIN LATERAL (
        SELECT id, {", ".join(_KEPT)} FROM breaker_transition h
        WHERE h.scope = wanted.scope AND h.name = wanted.name ORDER BY h.id DESC LIMIT :most) AS t
    WHERE t.at > now() - CAST(:seconds AS float8) * interval '1 second'
    ORDER BY t.id
""")
_SINCE = text(f"SELECT id, {', '.join(_KEPT)} FROM breaker_transition WHERE id > :above ORDER BY id LIMIT :most")
_LAST = text("SELECT coalesce(max(id), 0) FROM breaker_transition")


async def find(connection: Connection, keys: Sequence[Key]) -> dict[Key, BreakerRow]:
    """The rows of these circuit breakers, as far as they have one."""
    return _by_key(await connection.execute(_FIND, _of_keys(keys)))


async def is_guarded(connection: Connection, key: Key) -> bool:
    """Whether there is a task type, a worker or a dependency of task types of this name, or a breaker already."""
    found: bool = (await connection.execute(_GUARDED, {"scope": key[0], "name": key[1]})).scalar_one()
    return found


async def guarded_names(connection: Connection, key: Key, most: int) -> list[str]:
    """Names of the same scope of which ``is_guarded`` is true, those first that are about as long."""
    found = await connection.execute(_GUARDED_NAMES, {"scope": key[0], "length": len(key[1]), "most": most})
    return list(found.scalars())


async def lock(connection: Connection, keys: Sequence[Key]) -> dict[Key, BreakerRow]:
    """``find``, with the rows locked in one order until the transaction ends."""
    return _by_key(await connection.execute(_LOCK, _of_keys(keys)))


async def add(connection: Connection, keys: Sequence[Key]) -> None:
    """Make a row for those of these breakers that have none."""
    await connection.execute(_ADD, _of_keys(keys))


async def forget_idle(connection: Connection, age_seconds: float) -> int:
    """Drop closed breakers without a policy of their own that nothing happened to for so long; their history stays.

    Returns how many.
    """
    return (await connection.execute(_FORGET, {"age": age_seconds})).rowcount


async def count(connection: Connection) -> int:
    """How many breakers have a row."""
    found: int = (await connection.execute(_COUNT)).scalar_one()
    return found


async def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many there are by scope and state."""
    return {(row.scope, row.seen): row.breakers for row in await connection.execute(_COUNTS)}


async def page(connection: Connection, scope: str | None, seen: str | None, after: Key, most: int) -> list[BreakerRow]:
    """Breakers in the order of their keys, those after ``after``."""
    parameters = {"scope": scope, "seen": seen, "after_scope": after[0], "after_name": after[1], "most": most}
    return [_row(row) for row in await connection.execute(_LIST, parameters)]


async def not_closed(connection: Connection, scope: str | None, most: int) -> list[BreakerRow]:
    """Breakers that were last written as another than closed, in the order of their keys."""
    return [_row(row) for row in await connection.execute(_NOT_CLOSED, {"scope": scope, "most": most})]


async def unusual(connection: Connection) -> list[BreakerRow]:
    """Every breaker of tasks that ever was another than closed, or has a policy of its own."""
    return [_row(row) for row in await connection.execute(_UNUSUAL)]


async def due(connection: Connection, most: int) -> list[Key]:
    """Breakers that time alone has changed since they were written."""
    return [(row.scope, row.name) for row in await connection.execute(_DUE, {"most": most})]


async def save(connection: Connection, rows: Sequence[BreakerRow]) -> None:
    """Write breakers whose rows are locked."""
    if not rows:
        return
    columns: dict[str, object] = {name: [getattr(row, name) for row in rows] for name in _SAVED}
    columns["machine"] = [to_json(row.machine).decode() for row in rows]
    columns["policy"] = [_json_or_null(row.policy) for row in rows]
    columns["last_error"] = [_json_or_null(row.last_error) for row in rows]
    await connection.execute(_SAVE, columns)


async def keep_transitions(connection: Connection, transitions: Sequence[Mapping[str, Any]]) -> None:
    """Add to the history: mappings with the columns of ``TransitionRow`` but ``id``, ``at`` in Unix seconds.

    In a transaction that does nothing more afterwards: it keeps others from writing theirs.
    """
    if not transitions:
        return
    columns: dict[str, object] = {name: [transition[name] for transition in transitions] for name in _KEPT}
    columns["at"] = [datetime.fromtimestamp(transition["at"], UTC) for transition in transitions]
    columns["error"] = [_json_or_null(transition["error"]) for transition in transitions]
    await changes.tell(connection, Topic.BREAKERS)
    await connection.execute(_IN_ORDER)
    await connection.execute(_KEEP, columns)


async def history(connection: Connection, key: Key, below: int, most: int) -> list[TransitionRow]:
    """Transitions of one breaker, newest first, those with an id below ``below``."""
    rows = await connection.execute(_HISTORY, {"scope": key[0], "name": key[1], "below": below, "most": most})
    return [TransitionRow(*row) for row in rows]


async def lately(
    connection: Connection, keys: Sequence[Key], seconds: float, most: int
) -> dict[Key, list[TransitionRow]]:
    """The last transitions of each of these breakers within so long, ``most`` at most, the oldest first."""
    found: dict[Key, list[TransitionRow]] = {key: [] for key in keys}
    if not keys:
        return found
    for row in await connection.execute(_LATELY, _of_keys(keys) | {"seconds": seconds, "most": most}):
        found[row.scope, row.name].append(TransitionRow(*row))
    return found


async def transitions_since(connection: Connection, above: int, most: int) -> list[TransitionRow]:
    """Transitions of all breakers, oldest first, those with an id above ``above``."""
    return [TransitionRow(*row) for row in await connection.execute(_SINCE, {"above": above, "most": most})]


async def last_transition(connection: Connection) -> int:
    """The highest id of a transition; 0 when there is none."""
    found: int = (await connection.execute(_LAST)).scalar_one()
    return found


def _json_or_null(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else to_json(value).decode()


def _of_keys(keys: Sequence[Key]) -> dict[str, object]:
    return {"scope": [scope for scope, _ in keys], "name": [name for _, name in keys]}


def _by_key(rows: Iterable[Any]) -> dict[Key, BreakerRow]:
    return {(row.scope, row.name): _row(row) for row in rows}


def _row(row: Any) -> BreakerRow:
    return BreakerRow(*row)

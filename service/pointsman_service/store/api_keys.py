"""Keys of callers: made, rotated, revoked and read. Each change is numbered and told by a trigger."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import uuid_utils
from sqlalchemy import text

from pointsman_service.limits import LEAST_WEIGHT, MOST_WEIGHT
from pointsman_service.store.store import Connection


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is made of, but the key itself."""

    digest: bytes
    first_shown: str
    last_shown: str
    name: str
    preset: str | None
    scopes: Sequence[str]
    task_types: Sequence[str] | None
    queues: Sequence[str] | None
    created_by: str
    expires_seconds: float | None
    """From now on; None: it does not expire."""
    rate: str | None = None
    burst: int | None = None
    quota: int | None = None
    weight: float | None = None
    replaces: UUID | None = None
    session_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key."""

    id: UUID
    revision: int
    digest: bytes
    first_shown: str
    last_shown: str
    name: str
    preset: str | None
    scopes: Sequence[str]
    task_types: Sequence[str] | None
    queues: Sequence[str] | None
    rate: str | None
    burst: int | None
    quota: int | None
    weight: float | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    replaces: UUID | None
    replaced_by: UUID | None
    last_used_at: datetime | None
    session_of: UUID | None
    """The key that a browser signed in with; its own id: through the issuer, and what it may stands in itself."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What has changed since a revision."""

    rows: Sequence[KeyRow]
    """In the order of their changes."""
    newest: int
    """The revision of the newest change of all; 0: there is no key."""
    at: datetime


CHANNEL = "pointsman_keys"
"""Where the trigger tells of changes, with an empty text."""
_COLUMNS = ", ".join(field.name for field in fields(KeyRow))
_ADD = text(f"""
    INSERT INTO api_key (id, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst,
        quota, weight, created_by, expires_at, replaces, session_of)
    VALUES (:id, :digest, :first_shown, :last_shown, :name, :preset, CAST(:scopes AS text[]),
        CAST(:task_types AS text[]), CAST(:queues AS text[]), :rate, :burst, :quota, :weight,
        :created_by, now() + CAST(:expires_seconds AS float8) * interval '1 second', :replaces, :session_of)
    ON CONFLICT (name) WHERE revoked_at IS NULL AND replaced_by IS NULL AND session_of IS NULL DO NOTHING
    RETURNING {_COLUMNS}
""")
_REPLACE = text("""
    UPDATE api_key SET replaced_by = :by,
        expires_at = least(expires_at, now() + CAST(:overlap_seconds AS float8) * interval '1 second')
    WHERE id = :id AND revoked_at IS NULL AND replaced_by IS NULL AND session_of IS NULL
    RETURNING id
""")
# A key that goes on beside the one that replaced it is of the same caller.
_LIMIT = text("""
    UPDATE api_key SET rate = :rate, burst = :burst, quota = :quota, weight = :weight
    WHERE name = (SELECT name FROM api_key WHERE id = :id AND session_of IS NULL) AND session_of IS NULL
        AND revoked_at IS NULL
        AND (rate, burst, quota, weight) IS DISTINCT FROM
            (:rate, CAST(:burst AS integer), CAST(:quota AS integer), CAST(:weight AS float8))
    RETURNING id
""")
_REVOKE = text("""
    UPDATE api_key SET revoked_at = now(), revoked_by = :by WHERE id = :id AND revoked_at IS NULL RETURNING id
""")
_REVOKE_SESSIONS = text("""
    UPDATE api_key SET revoked_at = now(), revoked_by = :by
    WHERE session_of IS NOT NULL AND name = :name AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > now())
""")
_REVOKE_OLDEST_SESSIONS = text("""
    UPDATE api_key SET revoked_at = now(), revoked_by = :name WHERE id IN (
        SELECT id FROM api_key WHERE session_of IS NOT NULL AND name = :name AND revoked_at IS NULL
            AND (expires_at IS NULL OR expires_at > now())
        ORDER BY id DESC OFFSET :kept)
""")
_FIND = text(f"SELECT {_COLUMNS} FROM api_key WHERE id = :id AND session_of IS NULL")
_BY_DIGEST = text(f"SELECT {_COLUMNS} FROM api_key WHERE digest = :digest")
_LOCK = text(f"SELECT {_COLUMNS} FROM api_key WHERE id = :id AND session_of IS NULL FOR UPDATE")
_PAGE = text(f"""
    SELECT {_COLUMNS} FROM api_key WHERE session_of IS NULL AND (CAST(:below AS uuid) IS NULL OR id < :below)
    ORDER BY id DESC LIMIT :limit
""")
_BY_NAME = text(f"""
    SELECT {_COLUMNS} FROM api_key WHERE name = :name AND revoked_at IS NULL AND replaced_by IS NULL
        AND session_of IS NULL
""")
# One statement: what has changed, and a word that whoever listens on this connection hears.
_CHANGED = text(f"""
    SELECT s.newest, s.at, k.* FROM (
        SELECT pg_notify('{CHANNEL}', :word), now() AS at, (SELECT coalesce(max(revision), 0) FROM api_key) AS newest
    ) AS s LEFT JOIN (SELECT {_COLUMNS} FROM api_key) AS k ON k.revision > :revision ORDER BY k.revision
""")
_USED = text("""
    UPDATE api_key SET last_used_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))
        AND (last_used_at IS NULL OR last_used_at < now() - interval '50 seconds')
""")
_ADMINS = text("""
    SELECT count(*) FROM api_key WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        AND (preset = 'admin' OR 'keys:act' = ANY(scopes))
        AND task_types IS NULL AND queues IS NULL AND session_of IS NULL
""")
_WEIGHED = {"least": LEAST_WEIGHT, "most": MOST_WEIGHT}
# A weight that is none, written by hand, would keep whoever shares from being sent anything.
_WEIGHTS = text("""
    SELECT name, weight FROM api_key
    WHERE weight IS NOT NULL AND weight BETWEEN :least AND :most AND revoked_at IS NULL AND session_of IS NULL
""")
# The newest change stays: were its number to fall, every process would take the database for another one.
_FORGET = text("""
    DELETE FROM api_key WHERE id IN (
        SELECT id FROM api_key WHERE session_of IS NOT NULL
            AND least(expires_at, revoked_at) < now() - interval '1 day'
            AND revision < (SELECT max(revision) FROM api_key) LIMIT :most)
""")


def new_id() -> UUID:
    """Of a key that is made next: ids sort by when keys were made."""
    return UUID(str(uuid_utils.uuid7()))


async def add(connection: Connection, key_id: UUID, new: NewKey) -> KeyRow | None:
    """The key that is made; None: another one has its name."""
    parameters = {field.name: getattr(new, field.name) for field in fields(NewKey)}
    row = (await connection.execute(_ADD, parameters | {"id": key_id})).one_or_none()
    return None if row is None else KeyRow(*row)


async def replace(connection: Connection, key_id: UUID, by: UUID, overlap_seconds: float) -> bool:
    """Let a key end after the overlap, for another stands for it; False: it is revoked or replaced already."""
    parameters = {"id": key_id, "by": by, "overlap_seconds": overlap_seconds}
    return (await connection.execute(_REPLACE, parameters)).one_or_none() is not None


async def limit(
    connection: Connection,
    key_id: UUID,
    rate: str | None,
    burst: int | None,
    quota: int | None,
    weight: float | None,
) -> bool:
    """Let the caller of a key submit as fast and as much as this, and take turns with this weight, with whichever of
    its keys; False: so it was.
    """
    parameters = {"id": key_id, "rate": rate, "burst": burst, "quota": quota, "weight": weight}
    return bool((await connection.execute(_LIMIT, parameters)).all())


async def revoke(connection: Connection, key_id: UUID, by: str) -> bool:
    """Let a key open nothing more; False: it was revoked before."""
    return (await connection.execute(_REVOKE, {"id": key_id, "by": by})).one_or_none() is not None


async def revoke_sessions(connection: Connection, name: str, by: str) -> int:
    """Let no session of whoever has this name open anything more; how many did."""
    return (await connection.execute(_REVOKE_SESSIONS, {"name": name, "by": by})).rowcount


async def revoke_oldest_sessions(connection: Connection, name: str, kept: int) -> None:
    """Let only the newest so many sessions of whoever has this name open anything."""
    await connection.execute(_REVOKE_OLDEST_SESSIONS, {"name": name, "kept": kept})


async def find(connection: Connection, key_id: UUID, *, lock: bool = False) -> KeyRow | None:
    """One key; with ``lock`` nobody else changes it until the transaction ends."""
    row = (await connection.execute(_LOCK if lock else _FIND, {"id": key_id})).one_or_none()
    return None if row is None else KeyRow(*row)


async def find_by_name(connection: Connection, name: str) -> KeyRow | None:
    """The key that has this name and is neither revoked nor replaced."""
    row = (await connection.execute(_BY_NAME, {"name": name})).one_or_none()
    return None if row is None else KeyRow(*row)


async def find_by_digest(connection: Connection, digest: bytes) -> KeyRow | None:
    """The key of this digest, whatever became of it."""
    row = (await connection.execute(_BY_DIGEST, {"digest": digest})).one_or_none()
    return None if row is None else KeyRow(*row)


async def page(connection: Connection, below: UUID | None, limit: int) -> list[KeyRow]:
    """Keys, the newest first; only ids below the one given."""
    return [KeyRow(*row) for row in await connection.execute(_PAGE, {"below": below, "limit": limit})]


async def changed(connection: Connection, revision: int, word: str) -> Changed:
    """What has changed since ``revision``; whoever listens on the channel hears ``word``."""
    rows = (await connection.execute(_CHANGED, {"revision": revision, "word": word})).all()
    found = [KeyRow(*row[2:]) for row in rows if row.id is not None]
    return Changed(found, rows[0].newest, rows[0].at)


async def listen(connection: Connection, hears: Callable[[str], None]) -> None:
    """Let ``hears`` be called with what is told on the channel, as long as this connection stands; asked again it does
    nothing.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    if driver is None or connection.info.get(CHANNEL) == hears:
        return
    await driver.add_listener(CHANNEL, lambda _connection, _pid, _channel, said: hears(said))
    connection.info[CHANNEL] = hears


async def note_used(connection: Connection, ids: Sequence[UUID]) -> None:
    """These were used within the last minute."""
    await connection.execute(_USED, {"ids": list(ids)})


async def admins(connection: Connection) -> int:
    """How many keys may make keys, and are in use."""
    return int((await connection.execute(_ADMINS)).scalar_one())


async def weights(connection: Connection, given: Mapping[str, float]) -> dict[str, float]:
    """How many turns a caller has where others have one, by its name: as its key says, else as ``given``."""
    said = {row.name: row.weight for row in await connection.execute(_WEIGHTS, _WEIGHED)}
    return {**given, **said}


async def forget_sessions(connection: Connection, most: int) -> int:
    """Remove up to ``most`` sessions that ended a day ago; how many."""
    return (await connection.execute(_FORGET, {"most": most})).rowcount

"""What was changed by whom: an entry for each act, in its transaction, chained to the one before it by a trigger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import TextClause, text

from pointsman_service.store.models.audit import IS_OF_ONE_TASK
from pointsman_service.store.store import Connection

_ADD = text("""
    INSERT INTO audit (act, subject, actor, caller, address, reason, request_id, counts)
    VALUES (:act, :subject, :actor, :caller, :address, :reason, :request_id, CAST(:counts AS jsonb))
""")
NEWEST = f"""
    SELECT at, act, subject, actor, reason FROM audit
    WHERE at > now() - interval '1 day' AND NOT ({IS_OF_ONE_TASK}) AND act NOT IN ('sign_in', 'sign_out')
    ORDER BY at DESC LIMIT {{most}}
"""
"""SQL: the newest entries of a day but those of one task and of who signed in, as ``Entry``."""


ABOUT = """CASE
            WHEN a.act IN ('resolve_error', 'ignore_error', 'reopen_error') THEN
                (SELECT left(concat_ws(': ', nullif(split_part(g.error_type, '.', -1), ''), nullif(g.message, '')), 120)
                    || ' of ' || g.task_type FROM error_group g WHERE g.id = a.subject::uuid)
            WHEN a.act IN ('acknowledge_alert', 'unacknowledge_alert', 'silence_alert', 'unsilence_alert') THEN
                (SELECT left(l.summary, 120) FROM alert l WHERE l.id = a.subject::uuid)
            WHEN a.act IN ('cancel_tasks', 'retry_tasks', 'stop_task_act', 'undo_task_act', 'replay_dead_letters') THEN
                (SELECT r.tasks::text FROM replay r WHERE r.id = a.subject::uuid)
            END"""
"""SQL: what is known of the subject of an entry ``a`` that is an id: the words of an error or an alert, or how many
tasks it was about.
"""
Counted = int | str | bool | Mapping[str, Any] | None
"""How many, a state, or fields by their names, as JSON has them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act."""

    at: datetime
    act: str
    subject: str
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is written of an act."""

    act: str
    subject: str
    actor: str
    caller: str
    address: str | None = None
    reason: str | None = None
    request_id: str | None = None
    counts: Mapping[str, Counted] | None = None


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry, whole."""

    id: int
    at: datetime
    act: str
    subject: str
    actor: str
    caller: str
    address: str | None
    reason: str | None
    request_id: str | None
    counts: str | None
    """JSON text, as PostgreSQL writes it."""
    number: int | None
    previous: bytes | None
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    entries: int
    hash: bytes
    left_until: int


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; None: all."""

    act: str | None = None
    caller: str | None = None
    actor: str | None = None
    subject: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    below: int | None = None
    """Only ids below this one: the last of the page before."""


_COLUMNS = ", ".join("counts::text AS counts" if field.name == "counts" else field.name for field in fields(EntryRow))
_CONDITIONS = {
    "act": "act = :act",
    "caller": "caller = :caller",
    "actor": "actor = :actor",
    "subject": "subject = :subject",
    "after": "at >= :after",
    "before": "at < :before",
    "below": "id < :below",
}
_ABOUT = text(f"SELECT a.id, {ABOUT} AS about FROM audit a WHERE a.id = ANY(CAST(:ids AS bigint[]))")
_CHAINED = text(f"SELECT {_COLUMNS} FROM audit WHERE number > :after ORDER BY number LIMIT :most")
# Ids begin at 1, whatever is written since there is a chain has a number, and the end of the chain moves with it.
_PUT_IN = text(f"""
    SELECT {_COLUMNS} FROM audit
    WHERE number > (SELECT entries FROM audit_head) OR (
        number IS NULL AND (id < 1 OR id > (SELECT min(id) FROM audit WHERE number IS NOT NULL)))
    ORDER BY id LIMIT :most
""")
_HEAD = text("SELECT entries, hash, left_until FROM audit_head")
_LEAVE = text("SELECT leave_audit(:cutoff, :most)")


async def add(connection: Connection, new: NewEntry) -> None:
    """Write down an act, in its transaction: as the last of it, for whoever comes next waits until its end."""
    parameters: dict[str, Any] = {field.name: getattr(new, field.name) for field in fields(NewEntry)}
    # A number that JSON has no word for is kept as a text: it keeps nobody from acting.
    parameters["counts"] = None if new.counts is None else to_json(new.counts, inf_nan_mode="strings").decode()
    await connection.execute(_ADD, parameters)


def page_of(wanted: EntryFilter) -> tuple[TextClause, dict[str, Any]]:
    """The statement of a page, and its parameters but for ``limit``."""
    given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    where = " AND ".join(_CONDITIONS[name] for name in given)
    return text(
        f"SELECT {_COLUMNS} FROM audit {f'WHERE {where}' if where else ''} ORDER BY id DESC LIMIT :limit"
    ), given


async def page(connection: Connection, wanted: EntryFilter, limit: int) -> list[EntryRow]:
    """Entries, the newest first."""
    statement, parameters = page_of(wanted)
    return [EntryRow(*row) for row in await connection.execute(statement, parameters | {"limit": limit})]


async def about(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """By the id of an entry, what is known of its subject where that is an id."""
    rows = await connection.execute(_ABOUT, {"ids": list(ids)})
    return {row.id: row.about for row in rows if row.about is not None}


async def chained(connection: Connection, after: int, most: int) -> Sequence[EntryRow]:
    """Entries of the chain in its order, behind the number ``after``."""
    return [EntryRow(*row) for row in await connection.execute(_CHAINED, {"after": after, "most": most})]


async def put_in(connection: Connection, most: int) -> Sequence[EntryRow]:
    """Entries that are neither of the chain nor of before it: its trigger did not see them."""
    return [EntryRow(*row) for row in await connection.execute(_PUT_IN, {"most": most})]


async def head(connection: Connection) -> Head:
    """The end of the chain."""
    return Head(*(await connection.execute(_HEAD)).one())


async def leave(connection: Connection, cutoff: datetime, most: int) -> int:
    """Remove up to ``most`` entries of before ``cutoff``, from the front, in one transaction; how many. Of what is
    younger than the database lets leave, nothing leaves.
    """
    return int((await connection.execute(_LEAVE, {"cutoff": cutoff, "most": most})).scalar_one())

"""Who did what, for whoever shows it; and whether anybody has changed what is kept of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pointsman_contract.log_text import in_one_line
from pointsman_service.store import audit
from pointsman_service.store.audit import EntryFilter, EntryRow, Head
from pointsman_service.store.store import Store
from pointsman_service.store.upkeep.roles import rights

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 1000
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class DoneAct:
    """One entry."""

    id: int
    at: datetime
    act: str
    """The name of its operation."""
    subject: str
    actor: str
    caller: str
    address: str | None
    reason: str | None
    request_id: str | None
    counts: Mapping[str, Any] | None
    number: int | None
    """Its place in the chain; None: it is older than that."""
    hash: str | None


@dataclass(frozen=True, slots=True)
class ActPage:
    """A part of the list."""

    items: Sequence[DoneAct]
    following: int | None


def wanted(
    *, act: str | None = None, caller: str | None = None, subject: str | None = None, below: int | None = None
) -> EntryFilter:
    """What a list is narrowed to; None: all."""
    return EntryFilter(act=act, caller=caller, subject=subject, below=below)


class AuditReader:
    """Reads what is kept of acts, for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: EntryFilter, limit: int) -> ActPage:
        """Entries, the newest first."""
        async with self._store.statement() as connection:
            rows = await audit.page(connection, wanted, limit + 1)
        return ActPage([_done(row) for row in rows[:limit]], rows[limit - 1].id if len(rows) > limit else None)

    async def about(self, acts: Sequence[DoneAct]) -> Mapping[int, str]:
        """By the id of an entry, what is known of its subject where that is an id."""
        if not acts:
            return {}
        async with self._store.statement() as connection:
            return await audit.about(connection, [one.id for one in acts])


def _done(row: EntryRow) -> DoneAct:
    return DoneAct(
        id=row.id,
        at=row.at,
        act=row.act,
        subject=row.subject,
        actor=row.actor,
        caller=row.caller,
        address=row.address,
        reason=row.reason,
        request_id=row.request_id,
        counts=None if row.counts is None else json.loads(row.counts),
        number=row.number,
        hash=None if row.hash is None else bytes(row.hash).hex(),
    )


def hash_of(row: EntryRow, previous: bytes) -> bytes:
    """What its hash is, by its content and the hash of the entry before it: as the trigger has it, and without asking
    the database.
    """
    micros = (row.at - _EPOCH) // timedelta(microseconds=1)
    values = (
        str(row.number),
        str(micros),
        row.act,
        row.subject,
        row.actor,
        row.caller,
        row.address,
        row.reason,
        row.request_id,
        row.counts,
    )
    return hashlib.sha256(previous + b"".join(map(_part, values))).digest()


def _part(value: str | None) -> bytes:
    if value is None:
        return b"-"
    text = value.encode()
    return b"%d:%b" % (len(text), text)


@dataclass(slots=True)
class Verdict:
    """What a look through the chain came to."""

    entries: int = 0
    """That were looked at."""
    since: datetime | None = None
    head: str = ""
    """The hash of the last entry, in hex; empty: there is none."""
    faults: list[str] = field(default_factory=list)
    """At most twenty, in words."""
    role: str = ""
    """Whose rights these are."""
    role_may: tuple[str, ...] = ()
    """By what our own role could change entries, in words; empty: by nothing."""

    def blame(self, what: str) -> None:
        """Note a fault."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(what)


def _told(row: EntryRow) -> str:
    # It may be of whoever changed it.
    return in_one_line(f"{row.act} of {row.subject} at {row.at:%Y-%m-%d %H:%M:%S} UTC")


class ChainCheck:
    """Looks through a chain, entry by entry. Pure."""

    def __init__(self, head: Head, noted: str | None = None) -> None:
        """``noted``: a hash in hex that must be that of an entry."""
        self._head = head
        self._noted = noted
        self._number = head.left_until
        self._hash: bytes | None = None if head.left_until else b""
        self.verdict = Verdict()

    def look(self, row: EntryRow) -> None:
        """The next entry."""
        number, kept = row.number or 0, bytes(row.hash or b"")
        previous = bytes(row.previous or b"")
        if number != self._number + 1:
            missing = f"{self._number + 1} to {number - 1}" if number > self._number + 2 else f"{self._number + 1}"
            self.verdict.blame(f"entry {missing} is missing")
        elif self._hash is not None and previous != self._hash:
            self.verdict.blame(f"entry {number} does not follow the one before it")
        if hash_of(row, previous) != kept:
            self.verdict.blame(f"entry {number} was changed: {_told(row)}")
        self.verdict.entries += 1
        self.verdict.since = self.verdict.since or row.at
        self._number, self._hash = number, kept
        if self._noted is not None and kept.hex() == self._noted:
            self._noted = None

    def end(self) -> Verdict:
        """There are no more."""
        if self._number != self._head.entries:
            self.verdict.blame(f"entries {self._number + 1} to {self._head.entries} are missing at the end")
        elif self._hash is not None and self._hash != bytes(self._head.hash):
            self.verdict.blame("the end of the chain is not that of the last entry")
        if self._noted is not None:
            self.verdict.blame("no entry has the hash that was noted")
        self.verdict.head = bytes(self._head.hash).hex()
        return self.verdict


async def verify(store: Store, noted: str | None = None) -> Verdict:
    """Look through the whole chain as it is now. Raises the store's errors."""
    async with store.statement() as connection:
        head = await audit.head(connection)
        check, after = ChainCheck(head, noted), head.left_until
        check.verdict.role, check.verdict.role_may = await rights(connection)
        for row in await audit.put_in(connection, _MOST_FAULTS):
            check.verdict.blame(f"an entry was put in beside the chain: {_told(row)}")
        while rows := await audit.chained(connection, after, _AT_ONCE):
            for row in rows:
                if (row.number or 0) > head.entries:
                    return check.end()
                check.look(row)
            after = rows[-1].number or 0
    return check.end()

"""What the recorder left out of the event streams: counted with the position that passed it, so each entry once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import text

from pointsman_contract.clean_text import clean
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection


class Reason(StrEnum):
    """Why an entry was left out. A closed list: it is a label of a metric."""

    UNREADABLE = "unreadable"
    """It is not what the contract says of its kind."""
    TOO_LONG = "too_long"
    """It was not even read."""
    FORGED = "forged"
    """No key of ours made it so (``message_signing = require``)."""
    REPEATED = "repeated"
    """It was written down already: of one whose answer was lost, or of one that somebody put there again."""
    REFUSED = "refused"
    """It could be read, and could not be written down."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One entry that was left out."""

    reason: Reason
    stream_id: str
    detail: str


_COLUMNS = {"reason": "text", "entries": "bigint", "last_id": "text", "last_detail": "text"}
_ADD = text(
    "INSERT INTO left_out_event AS old (reason, entries, last_stream, last_id, last_detail)"
    " SELECT reason, entries, :stream, last_id, last_detail FROM "
    + array_columns(_COLUMNS)
    + """
    ON CONFLICT (reason) DO UPDATE SET entries = old.entries + excluded.entries, last_at = now(),
        last_stream = excluded.last_stream, last_id = excluded.last_id, last_detail = excluded.last_detail
"""
)
_COUNTS = text("SELECT reason, entries FROM left_out_event")
_RECENT = text("""
    SELECT coalesce(sum(entries), 0)::bigint AS entries,
        (array_agg(last_detail ORDER BY last_at DESC))[1] AS last_detail
    FROM left_out_event WHERE reason <> 'repeated'
    HAVING max(last_at) > now() - CAST(:seconds AS float8) * interval '1 second'
""")


async def add(connection: Connection, stream: str, entries: Sequence[LeftOut]) -> None:
    """Count the entries of a stream that are left out, in the transaction that moves the position past them."""
    if not entries:
        return
    last = {one.reason: one for one in entries}
    found = sorted(last)
    columns: dict[str, object] = {
        "reason": [str(reason) for reason in found],
        "entries": [sum(one.reason is reason for one in entries) for reason in found],
        "last_id": [last[reason].stream_id for reason in found],
        "last_detail": [clean(last[reason].detail) for reason in found],
    }
    await connection.execute(_ADD, columns | {"stream": stream})


async def counts(connection: Connection) -> Mapping[Reason, int]:
    """How many entries were ever left out, for each reason."""
    found = {row.reason: row.entries for row in await connection.execute(_COUNTS)}
    return {reason: found.get(reason, 0) for reason in Reason}


async def recent(connection: Connection, seconds: float) -> tuple[int, str] | None:
    """How many entries were ever left out, and why the last was, if that was within so many seconds; else None. Those
    that came twice are not told.
    """
    row = (await connection.execute(_RECENT, {"seconds": seconds})).one_or_none()
    return None if row is None else (row.entries, row.last_detail)

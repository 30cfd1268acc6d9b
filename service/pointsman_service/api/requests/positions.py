"""Cursors of lists of tasks: where one goes on, as text that callers only hand back."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from pointsman_service.store.tasks.pages import Position

CURSOR_PATTERN: Final = "^([A-Za-z0-9_-]{21}[AQgw]|[A-Za-z0-9_-]{32})$"
"""Sixteen bytes in Base64, or 24 of a list by finish."""
_ID_BYTES = 16
_FINISH_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_after(position: Position) -> str:
    """The cursor of the page that goes on there."""
    finish = b"" if position.finished_at is None else _microseconds(position.finished_at).to_bytes(_FINISH_BYTES)
    return urlsafe_b64encode(finish + position.id.bytes).decode().rstrip("=")


def position_of(cursor: str) -> Position | None:
    """Where a cursor goes on; None for what is none of ours."""
    try:
        given = urlsafe_b64decode(cursor + "==")
    except (ValueError, binascii.Error):
        return None
    sizes = (_ID_BYTES, _FINISH_BYTES + _ID_BYTES)
    if len(given) not in sizes or urlsafe_b64encode(given).decode().rstrip("=") != cursor:
        return None
    finish, task_id = given[:-_ID_BYTES], UUID(bytes=given[-_ID_BYTES:])
    if not finish:
        return Position(task_id)
    return Position(task_id, _EPOCH + timedelta(microseconds=min(int.from_bytes(finish), _LATEST)))


def _microseconds(finished_at: datetime) -> int:
    return (finished_at - _EPOCH) // timedelta(microseconds=1)


_LATEST = _microseconds(datetime(9000, 1, 1, tzinfo=UTC))
"""Nothing ends later, whatever a cursor says."""

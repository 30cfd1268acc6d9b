"""A key as whoever shows it sees it: never the key itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from pointsman_service.access.scopes import KeyScope, scopes_of
from pointsman_service.store.api_keys import KeyRow

KEY_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,99}$"
"""What the name of a key may be."""

LINKS: Final = "_links"
"""The key whose secret links of tasks are signed with: no caller's key can have such a name."""


class KeyState(StrEnum):
    """Whether a key opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    id: UUID
    name: str
    """Of its caller: what is kept with the tasks that it submits and with what it does."""
    state: KeyState
    preset: str | None
    scopes: tuple[KeyScope, ...]
    """All that it may, the preset's too, in alphabetical order."""
    task_types: tuple[str, ...] | None
    """The only ones that it has to do with; None: all. So is ``queues``."""
    queues: tuple[str, ...] | None
    rate: str | None
    """How fast its caller may submit, as ``100/60s``; None: as the settings say for all."""
    burst: int | None
    """How many at once, where that is another number."""
    quota: int | None
    """How many of its tasks may wait; None: as the settings say for all."""
    weight: float | None
    """How many turns its caller has in a queue where others have one; None: as the settings say."""
    hint: str
    """Its first and last characters."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    replaces: UUID | None
    """The key that was rotated to this one."""
    replaced_by: UUID | None
    last_used_at: datetime | None
    """To a minute."""


def key_of(row: KeyRow, now: datetime) -> Key:
    """The key of a row."""
    return Key(
        id=row.id,
        name=row.name,
        state=state_of(row, now),
        preset=row.preset,
        scopes=tuple(sorted(scopes_of(row.preset, row.scopes))),
        task_types=None if row.task_types is None else tuple(row.task_types),
        queues=None if row.queues is None else tuple(row.queues),
        rate=row.rate,
        burst=row.burst,
        quota=row.quota,
        weight=row.weight,
        hint=f"{row.first_shown}…{row.last_shown}",
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        replaces=row.replaces,
        replaced_by=row.replaced_by,
        last_used_at=row.last_used_at,
    )


def state_of(row: KeyRow, now: datetime) -> KeyState:
    """Whether it opens anything."""
    if row.revoked_at is not None:
        return KeyState.REVOKED
    return KeyState.EXPIRED if row.expires_at is not None and row.expires_at <= now else KeyState.ACTIVE

"""Keys as the API shows them."""

from dataclasses import asdict
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.access.key import Key, KeyState
from pointsman_service.access.scopes import KeyScope, Preset
from pointsman_service.api.answers.answer import moment

EXAMPLE_TEXT = "pm_0123456789ABCDEFGHIJabcdefghijkl2e6m7Y"
EXAMPLE_KEY: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "name": "billing",
    "state": "active",
    "preset": "submitter",
    "scopes": ["breakers:read", "breakers:report", "payload:read", "tasks:read", "tasks:share", "tasks:submit"],
    "task_types": ["send_invoice"],
    "queues": None,
    "rate": "100/60s",
    "burst": 20,
    "quota": None,
    "weight": 2.0,
    "hint": "pm_0123…6m7Y",
    "created_at": "2026-11-29T08:30:00Z",
    "created_by": "ada",
    "expires_at": "2027-02-27T08:30:00Z",
    "revoked_at": None,
    "revoked_by": None,
    "replaces": None,
    "replaced_by": None,
    "last_used_at": "2026-11-29T09:01:00Z",
}


class KeyView(BaseModel):
    """One key, without the key itself."""

    id: str
    name: str = Field(description="Of its caller: kept with the tasks that it submits, and with what it does.")
    state: KeyState
    preset: Preset | None
    scopes: list[KeyScope] = Field(description="All that it may, the preset's too.")
    task_types: list[str] | None = Field(description="The only ones that it has to do with; null: all.")
    queues: list[str] | None = Field(description="The only ones that it has to do with; null: all.")
    rate: str | None = Field(description="How fast its caller may submit; null: as POINTSMAN_CALLER_RATE says for all.")
    burst: int | None = Field(description="How many tasks at once; null: as many as `rate` says.")
    quota: int | None = Field(
        description="How many of its tasks may wait; null: as POINTSMAN_CALLER_QUOTA says for all."
    )
    weight: float | None = Field(
        description="How many turns it has in a queue where others have one; null: as POINTSMAN_CALLER_WEIGHTS says."
    )
    hint: str = Field(description="Its first and last characters.")
    created_at: AwareDatetime
    created_by: str
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    revoked_by: str | None
    replaces: str | None = Field(description="The key that was rotated to this one.")
    replaced_by: str | None = Field(description="The key that this one was rotated to.")
    last_used_at: AwareDatetime | None = Field(description="To a minute.")


class KeyMade(KeyView):
    """A key that was made, and the key itself, this once."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. Nobody can read it again.")


class KeyList(BaseModel):
    """A page."""

    items: list[KeyView]
    next_cursor: str | None


def key_view(key: Key) -> dict[str, Any]:
    """The fields of ``KeyView``."""
    times = {name: moment(getattr(key, name)) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    ids = {name: _id(getattr(key, name)) for name in ("id", "replaces", "replaced_by")}
    return asdict(key) | times | ids


def _id(value: object) -> str | None:
    return None if value is None else str(value)

"""Calls that were refused for who asked, or for what its caller may take: how many, by why."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from pointsman_service.errors import (
    CrossSite,
    GrantsMore,
    KeyExpired,
    KeyMissing,
    KeyRevoked,
    KeyUnknown,
    LinkExpired,
    LinkUnknown,
    OutsideKey,
    QuotaFull,
    RateExceeded,
    ScopeMissing,
    SignInFailed,
    StaleForm,
    TokenExpired,
    TokenInvalid,
    Unauthorized,
    UnknownHost,
)
from pointsman_service.store.arrays import array_columns
from pointsman_service.store.store import Connection

REASONS: Final = tuple(
    error.code
    for error in (
        KeyMissing,
        KeyUnknown,
        KeyExpired,
        KeyRevoked,
        TokenInvalid,
        TokenExpired,
        LinkUnknown,
        LinkExpired,
        SignInFailed,
        Unauthorized,
        ScopeMissing,
        OutsideKey,
        GrantsMore,
        CrossSite,
        StaleForm,
        UnknownHost,
        RateExceeded,
        QuotaFull,
    )
)
"""Why, as the problem says it. A closed list: it is a label of a metric."""

_ADD = text(
    "INSERT INTO refused_call AS old (reason, calls) SELECT reason, calls FROM "
    + array_columns({"reason": "text", "calls": "bigint"})
    + " ORDER BY reason ON CONFLICT (reason) DO UPDATE SET calls = old.calls + excluded.calls"
)
_COUNTS = text("SELECT reason, calls FROM refused_call")


async def add(connection: Connection, refused: Mapping[str, int]) -> None:
    """So many more were refused, by why."""
    await connection.execute(_ADD, {"reason": list(refused), "calls": list(refused.values())})


async def counts(connection: Connection) -> Mapping[str, int]:
    """How many were ever refused, for each reason."""
    found = {row.reason: row.calls for row in await connection.execute(_COUNTS)}
    return {reason: found.get(reason, 0) for reason in REASONS}

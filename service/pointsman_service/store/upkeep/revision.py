"""Which revision the schema is at, and which is the newest.

Told without Alembic: only who migrates has to load it.
"""

import re
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PACKAGE = Path(__file__).resolve().parents[2]
MIGRATIONS = next(
    place for place in (_PACKAGE / "migrations", _PACKAGE.parents[1] / "migrations") if (place / "env.py").is_file()
)
"""A wheel has them inside the package, a checkout at its top."""

_NAMES = re.compile(r"""^(revision|down_revision)\b[^=\n]*= *["']([^"'\n]+)["']""", re.M)
_IS_THERE = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_AT = text("SELECT version_num FROM alembic_version")


def head() -> str:
    """The newest revision of the migrations that came with this code."""
    named: list[dict[str, str]] = [
        dict(_NAMES.findall(path.read_text(encoding="utf-8"))) for path in (MIGRATIONS / "versions").glob("*.py")
    ]
    below = {one.get("down_revision") for one in named}
    (newest,) = (one["revision"] for one in named if one["revision"] not in below)
    return newest


async def revision_of(connection: AsyncConnection) -> str | None:
    """The revision a database is at; None when it was never migrated."""
    if not await connection.scalar(_IS_THERE):
        return None
    found: str | None = await connection.scalar(_AT)
    return found

"""Worker parents, as their beats describe them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import Insert, insert

from pointsman_contract.events import Beat
from pointsman_service.store.models import Worker
from pointsman_service.store.store import Connection

_FORGET = text("DELETE FROM worker WHERE last_seen_at < now() - interval '1 day'")
_SEEN = text("""
    SELECT owner FROM worker WHERE last_seen_at > now() - CAST(:age AS float8) * interval '1 second'
""")


async def saw(connection: Connection, beats: Sequence[Beat]) -> None:
    """Note that these workers live; those not seen for a day are forgotten."""
    if beats:
        rows = [
            {
                "owner": beat["owner"],
                "name": beat["name"],
                "pool": beat["pool"],
                "queues": beat["queues"],
                "processes": beat["processes"],
                "pid": beat["pid"],
                "host": beat["host"],
                "contract": beat["contract"],
                "started_at": func.to_timestamp(beat["started_at"]),
            }
            for beat in sorted(beats, key=lambda beat: beat["owner"])
        ]
        await connection.execute(seeing(rows))
    await connection.execute(_FORGET)


def seeing(rows: Sequence[dict[str, Any]]) -> Insert:
    """The statement of ``saw``. What else was said of a worker is of its start, and stays."""
    statement = insert(Worker).values(rows)
    changes = {"last_seen_at": func.now()} | {name: statement.excluded[name] for name in ("processes", "queues")}
    return statement.on_conflict_do_update(index_elements=["owner"], set_=changes)


async def seen_within(connection: Connection, age_seconds: float) -> set[str]:
    """Owners of the workers that lived so recently."""
    return set((await connection.execute(_SEEN, {"age": age_seconds})).scalars())

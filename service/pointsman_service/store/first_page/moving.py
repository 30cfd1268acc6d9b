"""What changes from moment to moment, in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text

from pointsman_service.store.alerts.alerts import IN_MIND, AlertRow
from pointsman_service.store.breakers.breakers import IN_FIRST_DOUBT, LETS_THROUGH_AT
from pointsman_service.store.breakers.ejections import EJECTIONS, EjectionRow
from pointsman_service.store.first_page.together import together, whole
from pointsman_service.store.metrics.watching import LEADS, WORKERS
from pointsman_service.store.queues.backlog import UNFINISHED
from pointsman_service.store.queues.pausing import ALL, QueuePause
from pointsman_service.store.store import Connection
from pointsman_service.store.streams.epochs import POSITIONS

MOST_ALERTS = 100
MOST_BREAKERS = 50
MOST_COUNTED = 500
"""Breakers, and tasks that are held for one reason, that are counted."""
_SHOWN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class LeadOf:
    """One lead, with its name."""

    name: str
    left_seconds: float
    given_up: bool


@dataclass(frozen=True, slots=True)
class PositionOf:
    """How far a stream is recorded."""

    stream: str
    last_id: str


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """A circuit breaker that lets not every call through."""

    scope: str
    name: str
    seen: str
    since: datetime
    lets_through_at: datetime | None
    last_error: Mapping[str, Any] | None
    """All of ``pointsman_service.breaker.last_error.LastError``."""
    override: Mapping[str, Any] | None
    """What was set by hand: actor, reason, expires_at."""


@dataclass(frozen=True, slots=True)
class Look:
    """What changes from moment to moment."""

    now: datetime
    epoch: int | None
    epoch_opened_at: datetime | None
    breakers_in_all: int
    """At most ``MOST_COUNTED`` and one."""
    alerts: Sequence[AlertRow]
    breakers: Sequence[BreakerRow]
    pauses: Sequence[QueuePause]
    leads: Sequence[LeadOf]
    positions: Sequence[PositionOf]
    backlog: Sequence[Mapping[str, Any]]
    """``store.queues.backlog.unfinished``."""
    workers: Sequence[Mapping[str, Any]]
    """``store.metrics.watching.workers``."""
    ejections: Sequence[EjectionRow]


_NOT_CLOSED = f"""b.seen IN ('open', 'half_open', 'forced_open')
            AND NOT ({IN_FIRST_DOUBT} AND b.updated_at > now() - interval '10 seconds')"""
_BREAKERS = f"""
        SELECT b.scope, b.name, b.seen, coalesce((SELECT t.at FROM breaker_transition t
            WHERE t.scope = b.scope AND t.name = b.name AND t.before IN ('closed', 'disabled')
            ORDER BY t.id DESC LIMIT 1), b.updated_at) AS since, {LETS_THROUGH_AT} AS lets_through_at, b.last_error,
            b.machine -> 'override' AS override
        FROM breaker b WHERE {_NOT_CLOSED} ORDER BY b.scope, b.name LIMIT {MOST_BREAKERS}"""
_IN_ALL = f"(SELECT count(*) FROM (SELECT FROM breaker b WHERE {_NOT_CLOSED} LIMIT {MOST_COUNTED + 1}) AS first_ones)"
_LOOK = text(
    together(
        {
            "alerts": IN_MIND.text,
            "breakers": _BREAKERS,
            "pauses": ALL.text,
            "leads": LEADS.text,
            "positions": POSITIONS.text,
            "backlog": UNFINISHED.text,
            "workers": WORKERS.text,
            "ejections": EJECTIONS.text,
        },
        now="now()",
        epoch="(SELECT max(epoch) FROM broker_epoch)",
        epoch_opened_at="(SELECT opened_at FROM broker_epoch ORDER BY epoch DESC LIMIT 1)",
        breakers_in_all=_IN_ALL,
    )
)
_LOOKS = TypeAdapter(Look)


async def look(connection: Connection) -> Look:
    """Look once."""
    parameters = {"causes": [], "lately": 0.0, "most": MOST_ALERTS, "seen_within": _SHOWN_SECONDS}
    found = (await connection.execute(_LOOK, parameters)).one()
    return _LOOKS.validate_json(whole(found))

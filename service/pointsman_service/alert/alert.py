"""One alert, and one message about it, as they are now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pointsman_service.alert.kinds import KINDS, TELLS_ERRORS, Rule, advice
from pointsman_service.store.alerts.alerts import AlertRow
from pointsman_service.store.alerts.deliveries import DeliveryRow

_KNOWN = frozenset(Rule)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That somebody knows of an alert."""

    at: datetime
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert."""

    id: UUID
    key: str
    """The cause: rule and subject. There is one open alert for each."""
    rule: str
    subject: str
    """What it is about; empty when it is about the whole."""
    severity: str
    summary: str
    value: float | None
    limit: float | None
    """What the value passed."""
    unit: str
    since: datetime
    """When it began, as far as is known."""
    opened_at: datetime
    resolved_at: datetime | None
    """None while it is open."""
    was: str
    """What was wrong, to be said once it is over."""
    also: Sequence[str]
    """The keys of what it leads to now, which has no alert of its own."""
    part_of: str | None
    """The key of the alert that it is told with since it ended, if that is why it did."""
    next_step: str
    """What to do; empty for a rule of another release."""
    documentation: str
    """Where it is explained."""
    link: str
    """Where to look, in the API."""
    acknowledged: Acknowledgement | None
    silenced_until: datetime | None
    """None: it is not silenced now."""
    notified_at: datetime | None
    """When the channels were last given a message about it."""

    @property
    def is_open(self) -> bool:
        """Whether it is still so."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one channel."""

    id: UUID
    alert_id: UUID | None
    """None: a test."""
    event: str
    channel: str
    status: str
    attempts: int
    next_at: datetime | None
    """When it is tried next; None once it is not tried any more."""
    last_status: str | None
    """What the last attempt came to."""
    error: str | None
    created_at: datetime
    ended_at: datetime | None


def alert_of(row: AlertRow) -> Alert:
    """The alert of a row."""
    next_step, page = advice(Rule(row.rule), row.subject) if row.rule in _KNOWN else ("", "docs/alerts.md")
    return Alert(
        id=row.id,
        key=row.key,
        rule=row.rule,
        subject=row.subject,
        severity=row.severity,
        summary=row.summary,
        value=row.value,
        limit=row.bound,
        unit=row.unit,
        since=row.since,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
        was=_was(row),
        also=row.also,
        part_of=row.part_of,
        next_step=next_step,
        documentation=page,
        link=row.link,
        acknowledged=_acknowledgement(row),
        silenced_until=row.silenced_until,
        notified_at=row.notified_at,
    )


def summary_without_errors(rule: str, subject: str, summary: str) -> str:
    """What a summary says without the message of an error, for who may not see it."""
    if rule not in TELLS_ERRORS:
        return summary
    words = rule.replace("_", " ").capitalize()
    return f"{words}: {subject.partition('#')[0]}." if subject else f"{words}."


def without_errors(alert: Alert) -> Alert:
    """The alert, for who may not see messages of errors."""
    return replace(alert, summary=summary_without_errors(alert.rule, alert.subject, alert.summary))


def delivery_of(row: DeliveryRow) -> Delivery:
    """The message of a row."""
    return Delivery(
        id=row.id,
        alert_id=row.alert_id,
        event=row.event,
        channel=row.channel,
        status=row.status,
        attempts=row.attempts,
        next_at=row.next_at if row.status == "pending" else None,
        last_status=row.last_status,
        error=row.error,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _was(row: AlertRow) -> str:
    was = KINDS[Rule(row.rule)].was if row.rule in _KNOWN else row.rule
    return f"{was} ({row.subject})" if row.subject else was


def _acknowledgement(row: AlertRow) -> Acknowledgement | None:
    if row.acked_at is None or row.acked_by is None or row.ack_reason is None:
        return None
    return Acknowledgement(row.acked_at, row.acked_by, row.ack_reason)

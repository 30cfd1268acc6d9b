"""Alerts, silences and deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Index, Integer, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class Alert(Base):
    """Something that was or is wrong: one open alert for each cause."""

    __tablename__ = "alert"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    key: Mapped[str]
    """The cause: rule and subject."""
    rule: Mapped[str]
    subject: Mapped[str]
    severity: Mapped[str]
    summary: Mapped[str]
    value: Mapped[float | None]
    bound: Mapped[float | None]
    """The limit that the value passed."""
    unit: Mapped[str]
    link: Mapped[str]
    since: Mapped[datetime]
    """When it began, as far as is known."""
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When value and summary were last written."""
    resolved_at: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    """When the channels were last given a message about it. NULL: never, as while it was silenced."""
    acked_at: Mapped[datetime | None]
    acked_by: Mapped[str | None]
    ack_reason: Mapped[str | None]
    also: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """The keys of what it leads to, which is not told of its own."""
    part_of: Mapped[str | None]
    """The key of the alert that it is told with since it ended; NULL: its cause was gone."""

    __table_args__ = (
        CheckConstraint("severity IN ('page', 'ticket')", name="severity"),
        Index("uq_alert_open_key", "key", unique=True, postgresql_where=text("resolved_at IS NULL")),
        Index("ix_alert_resolved_at", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
    )


class AlertSilence(Base):
    """Until its end nobody is told of the alerts that it matches."""

    __tablename__ = "alert_silence"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    matcher: Mapped[str]
    """The key of an alert, or a rule: all of its alerts."""
    until: Mapped[datetime]
    actor: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_alert_silence_until", "until"),)


class AlertDelivery(Base):
    """One message to one channel. Its id is the receiver's too, so that one which comes twice is known."""

    __tablename__ = "alert_delivery"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    alert_id: Mapped[UUID | None]
    """NULL: a test."""
    event: Mapped[str]
    channel: Mapped[str]
    message: Mapped[dict[str, Any]]
    """What is said; the same at every attempt."""
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Of a pending one: when it is tried next, or given back by a notifier that died."""
    last_status: Mapped[str | None]
    """What the last attempt came to, in a word or two."""
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("event IN ('opened', 'repeated', 'resolved', 'test')", name="event"),
        CheckConstraint("status IN ('dropped', 'gave_up', 'pending', 'sent')", name="status"),
        Index("ix_alert_delivery_pending", "next_at", postgresql_where=text("status = 'pending'")),
        Index("ix_alert_delivery_alert_id", "alert_id"),
    )

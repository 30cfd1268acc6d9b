"""Groups of failures with one cause, and how often each occurred."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Identity, Index, Integer, SmallInteger, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class ErrorGroup(Base):
    """Failures of one cause."""

    __tablename__ = "error_group"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The fingerprint (``pointsman_service.failures.fingerprint``)."""
    version: Mapped[int] = mapped_column(SmallInteger)
    """Of the rules by which its id was made, the last that were seen to make it."""
    task_type: Mapped[str]
    error_type: Mapped[str | None]
    message: Mapped[str]
    """Without what differs each time."""
    blamed: Mapped[str | None]
    """The circuit breaker that the first of them counted for."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    occurrences: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Attempts that failed so."""
    tasks: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Tasks that failed for good so."""
    example_task_id: Mapped[UUID]
    """The newest of them, with its attempt, message and traceback."""
    example_attempt: Mapped[int] = mapped_column(SmallInteger)
    example_message: Mapped[str]
    example_traceback: Mapped[str]
    recent_task_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    """Some of the newest tasks that failed so, the newest first."""
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it was first seen, came back, or was set by somebody, whichever was last."""
    news_at: Mapped[datetime | None]
    """When it was first seen or came back. NULL once somebody has dealt with it."""
    came_back: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether it is open because it came back."""
    set_at: Mapped[datetime | None]
    """When its state was set last, with who and why."""
    set_by: Mapped[str | None]
    set_reason: Mapped[str | None]
    ignored_until: Mapped[datetime | None]
    ignored_per_hour: Mapped[int | None] = mapped_column(Integer)
    """More within an hour end it."""
    ignored_count: Mapped[int | None] = mapped_column(BigInteger)
    """More than so many, from ``ignored_from`` on, end it."""
    ignored_from: Mapped[int | None] = mapped_column(BigInteger)
    """``occurrences`` when it was ignored."""

    __table_args__ = (
        CheckConstraint("state IN ('ignored', 'open', 'resolved')", name="state"),
        Index("ix_error_group_changed_at_id", "changed_at", "id"),
        Index("ix_error_group_task_type_first_seen_at", "task_type", "first_seen_at"),
        Index("ix_error_group_last_seen_at", "last_seen_at"),
        Index("ix_error_group_news_at", "news_at", postgresql_where=text("news_at IS NOT NULL")),
    )


class ErrorGroupChange(Base):
    """A change of the state of a group."""

    __tablename__ = "error_group_change"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    error_group: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    before: Mapped[str]
    after: Mapped[str]
    actor: Mapped[str]
    """Who set it, or ``pointsman`` when it came back."""
    reason: Mapped[str | None]

    __table_args__ = (Index("ix_error_group_change_error_group_id", "error_group", "id"),)


class ErrorCount(Base):
    """The rollup: what occurred of one group on one queue within a minute, an hour or a day (UTC)."""

    __tablename__ = "error_count"

    error_group: Mapped[UUID] = mapped_column(primary_key=True)
    step_seconds: Mapped[int] = mapped_column(Integer, primary_key=True)
    """60, 3600 or 86400."""
    since: Mapped[datetime] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)
    occurrences: Mapped[int] = mapped_column(BigInteger)
    tasks: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_error_count_step_seconds_since", "step_seconds", "since"),)


class ErrorDelta(Base):
    """What one commit adds to a group. Inserted, never updated, so that no two writers wait for one row."""

    __tablename__ = "error_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    error_group: Mapped[UUID]
    queue: Mapped[str]
    minute: Mapped[datetime]
    """By the end of the attempts."""
    occurrences: Mapped[int] = mapped_column(Integer)
    tasks: Mapped[int] = mapped_column(Integer)
    last_seen_at: Mapped[datetime]
    example_task_id: Mapped[UUID]
    example_attempt: Mapped[int] = mapped_column(SmallInteger)

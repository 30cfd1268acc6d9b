"""Dead letters: the failed tasks that were not run again, as rows and as numbers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class DeadLetter(Base):
    """A failed task that was not run again. ``task`` has the task itself; this is narrow, so that the first and the
    last of many are found.
    """

    __tablename__ = "dead_letter"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_type: Mapped[str]
    error_type: Mapped[str]
    """Empty where the task has none."""
    queue: Mapped[str]
    failed_at: Mapped[datetime]
    """``finished_at`` of the task."""

    __table_args__ = (
        Index("ix_dead_letter_failed_at", "task_type", "error_type", "queue", "failed_at"),
        Index("ix_dead_letter_task_id", "task_type", "error_type", "queue", "task_id"),
    )


class DeadLetterCount(Base):
    """How many dead letters of one kind failed within an hour, and how many there are."""

    __tablename__ = "dead_letter_count"

    task_type: Mapped[str] = mapped_column(primary_key=True)
    error_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    """Its begin (UTC); ``-infinity``: all of them."""
    tasks: Mapped[int] = mapped_column(BigInteger)


class DeadLetterDay(Base):
    """How many of one kind failed on a day (UTC): the sum of its hours, which a trigger of theirs keeps."""

    __tablename__ = "dead_letter_day"

    task_type: Mapped[str] = mapped_column(primary_key=True)
    error_type: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    tasks: Mapped[int] = mapped_column(BigInteger)


class DeadLetterDelta(Base):
    """What one commit adds to these numbers, or takes from them. Inserted, never updated."""

    __tablename__ = "dead_letter_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    task_type: Mapped[str]
    error_type: Mapped[str]
    queue: Mapped[str]
    hour: Mapped[datetime]
    tasks: Mapped[int] = mapped_column(BigInteger)


class DeadLetterWalk(Base):
    """How far it was looked whether the dead letters are right. One row."""

    __tablename__ = "dead_letter_walk"

    name: Mapped[str] = mapped_column(primary_key=True)
    walked_to: Mapped[UUID]
    """The id that this round has passed."""
    rounds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rounds that are over."""
    ended_at: Mapped[datetime | None]
    """When the last of them was."""

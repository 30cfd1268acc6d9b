"""Replays of dead letters."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class Replay(Base):
    """One request to run dead letters again."""

    __tablename__ = "replay"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    caller: Mapped[str]
    wanted: Mapped[dict[str, Any]]
    """Which dead letters."""
    rate_per_second: Mapped[float | None]
    matched: Mapped[int] = mapped_column(Integer)
    """Dead letters that it found."""
    tasks: Mapped[int] = mapped_column(Integer)
    """Dead letters that it ran again."""
    last_due_at: Mapped[datetime | None]


class ReplayedTask(Base):
    """An ended task that was run again: once, because it is the key. One that was taken back before it started stands
    the other way round: it may not run again, because the task that it was made from may.
    """

    __tablename__ = "replayed_task"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    replayed_as: Mapped[UUID]
    replay_id: Mapped[UUID | None]
    """The ``replay`` it belongs to; NULL when it was retried alone."""
    replayed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    undone: Mapped[bool] = mapped_column(server_default=text("false"))
    """``task_id`` was taken back, and ``replayed_as`` is what it had been made from."""

    __table_args__ = (Index("ix_replayed_task_replay_id", "replay_id"),)

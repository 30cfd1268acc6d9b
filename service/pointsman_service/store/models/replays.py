"""Acts on many tasks at once: replays of dead letters, and what is cancelled or run again by a filter."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class Replay(Base):
    """One act on many tasks. All of a replay of dead letters is done with the request; what is cancelled or run again
    by a filter is walked through, as far as ``walked_to``.
    """

    __tablename__ = "replay"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUIDv7."""
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    caller: Mapped[str]
    wanted: Mapped[dict[str, Any]]
    """Which tasks."""
    rate_per_second: Mapped[float | None]
    matched: Mapped[int] = mapped_column(Integer)
    """Tasks that it has found."""
    tasks: Mapped[int] = mapped_column(Integer)
    """Of the tasks that it found, those that it has cancelled, or run again."""
    last_due_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(server_default=text("'replay'"))
    """What it does: ``replay``, ``cancel`` or ``retry``."""
    stage: Mapped[str] = mapped_column(server_default=text("'done'"))
    """``walking``, ``done``, ``undoing`` or ``undone``."""
    reason: Mapped[str | None]
    submitted_before: Mapped[datetime | None]
    """What came then or later is none of its tasks. Of a replay NULL."""
    most: Mapped[int | None] = mapped_column(Integer)
    """It ends after so many tasks."""
    at_most: Mapped[int | None] = mapped_column(Integer)
    """It was to be refused if there were more. ``most`` is no more than that."""
    grace_seconds: Mapped[float | None] = mapped_column(REAL)
    """Of a cancel: how long what runs may take to end. NULL: what runs is left alone."""
    walked_to: Mapped[UUID | None]
    """The id that the walk, or the round of its undo, has passed."""
    looked_at: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Tasks that the walk has passed."""
    unended: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Tasks that this round of an undo could not put back, because they have not ended yet."""
    put_back: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Tasks that an undo has put back."""

    __table_args__ = (Index("ix_replay_open", "id", postgresql_where=text("stage IN ('walking', 'undoing')")),)


class CancelledTask(Base):
    """A task that an act on many has asked an end of."""

    __tablename__ = "cancelled_task"

    act_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The ``replay`` it belongs to."""
    task_id: Mapped[UUID] = mapped_column(primary_key=True)


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

    __table_args__ = (Index("ix_replayed_task_replay_id_replayed_as", "replay_id", "replayed_as"),)

"""What the loops must remember: who leads, where the recorder is, what Redis is."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class Leader(Base):
    """Who runs loops that need to run once. Times are the database clock's."""

    __tablename__ = "leader"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    fence: Mapped[int] = mapped_column(BigInteger, server_default="1")
    """Written by the release before, and read by nobody: it goes when no process of that runs any more."""
    expires_at: Mapped[datetime]


class RecorderPosition(Base):
    """How far the recorder has read a stream; moved by compare-and-set in the transaction of what it recorded."""

    __tablename__ = "recorder_position"

    stream: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[str]
    moved_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BrokerEpoch(Base):
    """An epoch of Redis data. The highest is the current one; it is open once the census is over."""

    __tablename__ = "broker_epoch"

    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    run_id: Mapped[str]
    declared_at: Mapped[datetime] = mapped_column(server_default=func.now())
    opened_at: Mapped[datetime | None]


class LeftOutEvent(Base):
    """Entries of event streams that the recorder left out, by why. They changed nothing."""

    __tablename__ = "left_out_event"

    reason: Mapped[str] = mapped_column(primary_key=True)
    """``pointsman_service.store.streams.left_out.Reason``."""
    entries: Mapped[int] = mapped_column(BigInteger)
    """So many, ever."""
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_stream: Mapped[str]
    last_id: Mapped[str]
    last_detail: Mapped[str]
    """What was wrong with the last one."""


class EventLane(Base):
    """How far the signed events of one lane (``pointsman_contract.signing``) were written down."""

    __tablename__ = "event_lane"

    lane: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    """Of the last event."""
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""How many tasks wait: kept in numbers, so that nobody counts a million rows."""

from sqlalchemy import BigInteger, Identity, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class Backlog(Base):
    """Unfinished tasks that are not sent, by queue, state and reason, as far as the deltas are folded. Those that are
    sent are few, and counted.
    """

    __tablename__ = "backlog"

    queue: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(primary_key=True)
    """``queued`` are those that wait in PostgreSQL to be sent."""
    held_reason: Mapped[str] = mapped_column(primary_key=True)
    """Empty unless they are held."""
    tasks: Mapped[int] = mapped_column(BigInteger)


class BacklogDelta(Base):
    """What one statement adds to the backlog. Inserted, never updated, so that no two writers wait for one hot row."""

    __tablename__ = "backlog_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    queue: Mapped[str]
    state: Mapped[str]
    held_reason: Mapped[str] = mapped_column(server_default=text("''"))
    tasks: Mapped[int] = mapped_column(BigInteger)

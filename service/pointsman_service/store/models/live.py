"""What listeners are told of: changes as they are committed, kept for as long as a listener may be away."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Identity, SmallInteger, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class LiveListening(Base):
    """Whether anybody listens: the one row. Changes are written down until ``until`` and not after it."""

    __tablename__ = "live_listening"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default=text("1"))
    since: Mapped[datetime]
    """From then on, without a break, changes have been written down."""
    until: Mapped[datetime]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class LiveChange(Base):
    """Something that one statement changed. Deleted after two minutes."""

    __tablename__ = "live_change"

    transaction: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, server_default=text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
    )
    """Its number: whether a reader has seen it already, the reader's snapshot says."""
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    topic: Mapped[str] = mapped_column(server_default=text("'tasks'"))
    """What kind of thing: ``pointsman_service.store.changes.Topic``."""
    task_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    """The tasks, where they are told one by one."""

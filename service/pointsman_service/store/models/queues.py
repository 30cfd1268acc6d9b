"""What is said of whole queues."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class QueuePause(Base):
    """How a queue was last paused or resumed."""

    __tablename__ = "queue_pause"

    queue: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool]
    revision: Mapped[int] = mapped_column(BigInteger)
    """Rises with every change, so that Redis takes no old news."""
    reason: Mapped[str | None]
    actor: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class QuarantineQueue(Base):
    """A queue on which nothing is sent but one task, so that this one runs alone."""

    __tablename__ = "quarantine_queue"

    queue: Mapped[str] = mapped_column(primary_key=True)
    task_id: Mapped[UUID]
    since: Mapped[datetime] = mapped_column(server_default=func.now())

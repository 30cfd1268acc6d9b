"""What managed runs wrote."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Integer, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class RunLog(Base):
    """Some lines of one attempt that follow one another. Of an attempt the newest 64 KiB stay: the oldest rows go."""

    __tablename__ = "run_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    """Rises as they come in."""
    task_id: Mapped[UUID]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    run: Mapped[str]
    """Tells apart what two processes wrote as the same attempt: the beginning of its token."""
    first_line: Mapped[int] = mapped_column(Integer)
    """Its number among all lines that the attempt wrote, from 1. Numbers that are missing are lines that went."""
    line_count: Mapped[int] = mapped_column(Integer)
    is_last: Mapped[bool]
    """The attempt wrote no lines after these."""
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lines: Mapped[str]
    """JSON array of ``[at, level, logger, text]``, as text."""

    __table_args__ = (
        Index("uq_run_log_task_id_attempt_run_first_line", "task_id", "attempt", "run", "first_line", unique=True),
    )

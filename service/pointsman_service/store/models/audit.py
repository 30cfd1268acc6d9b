"""Who changed what, and why."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base

IS_OF_ONE_TASK = "act IN ('cancel_task', 'change_task', 'retry_task')"
"""SQL: of an entry of what was done to one task, as programs do while they submit. They would bury the others."""


class AuditEntry(Base):
    """One act that changed something, written in its transaction. Never changed; it leaves by age."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    act: Mapped[str]
    """The name of its operation."""
    subject: Mapped[str]
    """The id or the name of what it was done to."""
    actor: Mapped[str]
    """Who is named with what was done."""
    caller: Mapped[str]
    """Who asked for it."""
    reason: Mapped[str | None]

    __table_args__ = (
        Index("ix_audit_at", "at"),
        Index("ix_audit_at_of_others", "at", postgresql_where=text(f"NOT ({IS_OF_ONE_TASK})")),
    )

"""Who changed what, and why."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base

IS_OF_ONE_TASK = "act IN ('cancel_task', 'change_task', 'retry_task', 'share_task')"
"""SQL: of an entry of what was done to one task, as programs do while they submit. They would bury the others."""


class AuditEntry(Base):
    """One act that changed something, written in its transaction. A trigger keeps it from being changed; it leaves by
    age, from the front.
    """

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
    address: Mapped[str | None]
    """From where; NULL: a command beside the database."""
    reason: Mapped[str | None]
    request_id: Mapped[str | None]
    counts: Mapped[dict[str, Any] | None]
    """How many it was about, before and after."""
    number: Mapped[int | None] = mapped_column(BigInteger)
    """Its place in the chain, without gaps, set by a trigger; NULL: it is older than the chain."""
    previous: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The hash of the entry before it."""
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of that and of everything in this one."""

    __table_args__ = (
        Index("ix_audit_at", "at"),
        Index("ix_audit_at_of_others", "at", postgresql_where=text(f"NOT ({IS_OF_ONE_TASK})")),
        Index("ix_audit_number", "number", unique=True),
        Index("ix_audit_caller", "caller", "id"),
        Index("ix_audit_subject", "subject", "id"),
    )


class AuditHead(Base):
    """The end of the chain: one row, locked by whoever adds an entry."""

    __tablename__ = "audit_head"

    one: Mapped[bool] = mapped_column(primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    """How many there ever were."""
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    """Of the last."""
    left_until: Mapped[int] = mapped_column(BigInteger)
    """Entries up to this number have left by age."""
    kept_days: Mapped[float] = mapped_column(server_default=text("7"))
    """Nothing younger leaves, whoever asks."""

    __table_args__ = (CheckConstraint("one", name="is_one"),)

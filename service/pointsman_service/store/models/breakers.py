"""Circuit breakers and their history."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.store.models.base import Base


class StoredBreaker(Base):
    """A circuit breaker (``pointsman_service.breaker``). One that nothing ever happened to has no row."""

    __tablename__ = "breaker"

    scope: Mapped[str] = mapped_column(primary_key=True)
    """``task_type``, ``dependency`` or ``worker``."""
    name: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[str]
    """The state that callers see, as of the last change."""
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rises with every transition."""
    turns_at: Mapped[datetime | None]
    """When time alone changes it next: its wait is over, or its override ends."""
    machine: Mapped[dict[str, Any]]
    """All of ``pointsman_service.breaker.breaker.Breaker``; its times are Unix seconds on the database clock."""
    policy: Mapped[dict[str, Any] | None]
    """Null: the configured default."""
    policy_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rises with every change of the policy."""
    last_error: Mapped[dict[str, Any] | None]
    """All of ``pointsman_service.breaker.last_error.LastError``. Null: it has counted no failure that told one."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("scope IN ('dependency', 'task_type', 'worker')", name="scope"),
        CheckConstraint("seen IN ('closed', 'disabled', 'forced_open', 'half_open', 'open')", name="seen"),
        Index("ix_breaker_turns_at", "turns_at", postgresql_where=text("turns_at IS NOT NULL")),
        Index("ix_breaker_not_closed", "scope", "name", postgresql_where=text("seen <> 'closed'")),
    )


class BreakerTransition(Base):
    """A change of the state that callers of a breaker see. Ids rise in the order of commits."""

    __tablename__ = "breaker_transition"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    scope: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]
    epoch: Mapped[int] = mapped_column(Integer)
    before: Mapped[str]
    after: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    """``breaker`` itself, or who did it by hand."""
    error: Mapped[dict[str, Any] | None]
    """What ``last_error`` was when it opened by itself."""

    __table_args__ = (Index("ix_breaker_transition_scope_name_id", "scope", "name", "id"),)

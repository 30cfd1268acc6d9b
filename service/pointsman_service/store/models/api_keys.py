"""Keys of callers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from pointsman_service.limits import LEAST_WEIGHT, MOST_BURST, MOST_QUOTA, MOST_WEIGHT
from pointsman_service.store.models.base import Base


class RefusedCall(Base):
    """Calls that were refused for who asked, or for what its caller may take, by why."""

    __tablename__ = "refused_call"

    reason: Mapped[str] = mapped_column(primary_key=True)
    """``pointsman_service.store.refused_calls.REASONS``."""
    calls: Mapped[int] = mapped_column(BigInteger)
    """So many, ever."""


class ApiKey(Base):
    """What is known of one key, or of one session. The key itself is nowhere. It is never deleted: whoever uses it is
    told what became of it. A session is, some time after its end.
    """

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    """Set by a trigger, higher at each change than at any change that was committed before."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """The SHA-256 of the key."""
    first_shown: Mapped[str]
    """The first characters of the key, as ``last_shown`` the last."""
    last_shown: Mapped[str]
    name: Mapped[str]
    """Of its caller. One key that is neither revoked nor replaced has it."""
    preset: Mapped[str | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Beside those of the preset."""
    task_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The only ones; NULL: all. So is ``queues``."""
    queues: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    rate: Mapped[str | None]
    """How fast its caller may submit, as ``100/60s``; NULL: as the settings say for all."""
    burst: Mapped[int | None]
    """How many at once; NULL: as many as ``rate`` says."""
    quota: Mapped[int | None]
    """How many of its tasks may wait; NULL: as the settings say for all."""
    weight: Mapped[float | None]
    """How many turns its caller has in a queue where others have one; NULL: as the settings say."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    replaces: Mapped[UUID | None]
    replaced_by: Mapped[UUID | None]
    session_of: Mapped[UUID | None]
    """The key that a browser was signed in with: this is its session, and ends with that at the latest. Its own id:
    the browser was signed in through the issuer, and what it may stands in ``scopes``."""
    last_used_at: Mapped[datetime | None]
    """To a minute. A change of it is no change of the key."""

    __table_args__ = (
        # What people write by hand is bound as what the API takes: no number of it is missing in JSON.
        CheckConstraint(f"burst BETWEEN 1 AND {MOST_BURST}", name="burst"),
        CheckConstraint(f"quota BETWEEN 1 AND {MOST_QUOTA}", name="quota"),
        CheckConstraint(f"weight BETWEEN {LEAST_WEIGHT:g} AND {MOST_WEIGHT:g}", name="weight"),
        Index("ix_api_key_digest", "digest", unique=True),
        Index("ix_api_key_revision", "revision", unique=True),
        Index("ix_api_key_weight", "name", postgresql_where=text("weight IS NOT NULL")),
        Index(
            "ix_api_key_name",
            "name",
            unique=True,
            postgresql_where=text("revoked_at IS NULL AND replaced_by IS NULL AND session_of IS NULL"),
        ),
    )

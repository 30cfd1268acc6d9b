"""Keep with a circuit breaker what the newest failure was that it counted, and with its history what opened it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261128_last_errors_of_breakers"
down_revision: str | None = "20261128_leads_have_no_fence"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("breaker", sa.Column("last_error", postgresql.JSONB()))
    op.add_column("breaker_transition", sa.Column("error", postgresql.JSONB()))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("breaker_transition", "error")
    op.drop_column("breaker", "last_error")

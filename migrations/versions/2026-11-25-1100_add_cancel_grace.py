"""Add how long a running task that is cancelled may take to end."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_add_cancel_grace"
down_revision: str | None = "20261125_add_quarantine"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("task_live", sa.Column("cancel_grace_seconds", sa.REAL(), nullable=True))
    # Requests of the release before: their running attempts were not to be interrupted.
    op.execute("UPDATE task_live SET cancel_grace_seconds = 'infinity' WHERE cancel_requested_at IS NOT NULL")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("task_live", "cancel_grace_seconds")

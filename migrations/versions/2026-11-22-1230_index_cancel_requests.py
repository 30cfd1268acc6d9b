"""Index the tasks to be cancelled; apart, so that readers do not wait while it is built."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261122_index_cancel_requests"
down_revision: str | None = "20261122_add_retries_and_cancel"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_task_live_cancelled",
        "task_live",
        ["id"],
        unique=False,
        postgresql_where=sa.text("cancel_requested_at IS NOT NULL"),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_cancelled", table_name="task_live")

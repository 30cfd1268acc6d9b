"""Index the tasks that are on the broker or run; apart, so that readers do not wait while it is built."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_index_sent_tasks"
down_revision: str | None = "20261125_add_sent_at"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_task_live_sent",
        "task_live",
        ["queue", "priority", "sent_at"],
        unique=False,
        postgresql_where=sa.text("place = 'sent'"),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_sent", table_name="task_live")

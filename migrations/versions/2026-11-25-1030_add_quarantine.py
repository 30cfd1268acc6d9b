"""Add which queues are kept empty for a task that runs alone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_add_quarantine"
down_revision: str | None = "20261125_index_sent_tasks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "quarantine_queue",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_quarantine_queue")),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("quarantine_queue")

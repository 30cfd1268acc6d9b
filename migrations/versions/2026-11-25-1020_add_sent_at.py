"""Add when a task was last sent, so that its message can be missed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_add_sent_at"
down_revision: str | None = "20261125_add_interruptions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "task_live", sa.Column("sent_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("task_live", "sent_at")

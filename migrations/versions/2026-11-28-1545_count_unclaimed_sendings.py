"""Count the sendings that nobody claimed, and keep who asked for a cancel."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_count_unclaimed"
down_revision: str | None = "20261128_fold_dependencies"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("task_live", sa.Column("unclaimed", sa.REAL(), nullable=False, server_default=sa.text("0")))
    op.add_column("task_live", sa.Column("unclaimed_reason", sa.Text(), nullable=True))
    for table in ("task_live", "task"):
        op.add_column(table, sa.Column("cancel_requested_by", sa.Text(), nullable=True))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task", "task_live"):
        op.drop_column(table, "cancel_requested_by")
    op.drop_column("task_live", "unclaimed_reason")
    op.drop_column("task_live", "unclaimed")

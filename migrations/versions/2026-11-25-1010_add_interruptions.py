"""Add what tells attempts that ended with their worker from those that ended by themselves."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_add_interruptions"
down_revision: str | None = "20261122_index_cancel_requests"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_live", "task"):
        op.add_column(table, sa.Column("interruptions", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column(
        "task_live", sa.Column("interrupted_in_a_row", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
    )
    for table in ("task_metrics", "task_metrics_delta"):
        op.add_column(table, sa.Column("interrupted", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_metrics_delta", "task_metrics"):
        op.drop_column(table, "interrupted")
    op.drop_column("task_live", "interrupted_in_a_row")
    for table in ("task", "task_live"):
        op.drop_column(table, "interruptions")

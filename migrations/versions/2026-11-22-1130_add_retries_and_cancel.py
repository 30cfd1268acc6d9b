"""Add what retries, progress, cancel and the catalogue of each worker need."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261122_add_retries_and_cancel"
down_revision: str | None = "20261122_add_tasks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("task_live", sa.Column("sla_met", sa.Boolean(), nullable=True))
    for table in ("task_live", "task"):
        op.add_column(table, sa.Column("progress", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "worker_catalogue",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("content_hashes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_worker_catalogue")),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("worker_catalogue")
    for table in ("task", "task_live"):
        op.drop_column(table, "cancel_requested_at")
        op.drop_column(table, "progress")
    op.drop_column("task_live", "sla_met")

"""Add what tells a worker whose failures stand out from its peers'."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261126_add_worker_outcomes"
down_revision: str | None = "20261126_add_alerts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "worker_outcome",
        sa.Column("bucket", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "worker", "task_type", name=op.f("pk_worker_outcome")),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("worker_outcome")

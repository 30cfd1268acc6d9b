"""Keep what was predicted of a sample of the tasks, and count how it came out."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261129_keep_predictions"
down_revision: str | None = "20261129_dead_letters"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "prediction",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("p50_seconds", sa.REAL(), nullable=False),
        sa.Column("p95_seconds", sa.REAL(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("expected_seconds", sa.REAL(), nullable=False),
        sa.Column("flow_p50_seconds", sa.REAL(), nullable=False),
        sa.Column("flow_p95_seconds", sa.REAL(), nullable=False),
        sa.Column("history_p50_seconds", sa.REAL(), nullable=True),
        sa.Column("history_p95_seconds", sa.REAL(), nullable=True),
        sa.Column("late_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waited_seconds", sa.REAL(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_prediction"),
    )
    op.create_index("ix_prediction_submitted_at", "prediction", ["submitted_at"])
    op.create_index(
        "ix_prediction_open", "prediction", ["submitted_at"], postgresql_where=sa.text("settled_at IS NULL")
    )
    op.create_table(
        "prediction_metrics",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("span_seconds", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("within_p50", sa.Integer(), nullable=False),
        sa.Column("within_p95", sa.Integer(), nullable=False),
        sa.Column("error_buckets", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("error_counts", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("queue", "span_seconds", "at", name="pk_prediction_metrics"),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("prediction_metrics")
    op.drop_table("prediction")

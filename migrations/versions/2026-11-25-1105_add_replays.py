"""Add what tells which ended tasks were run again, and as what."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261125_add_replays"
down_revision: str | None = "20261125_add_cancel_grace"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_live", "task"):
        op.add_column(table, sa.Column("replayed_from", sa.Uuid(), nullable=True))
    op.create_table(
        "replay",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("rate_per_second", sa.Double(), nullable=True),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("last_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay")),
    )
    op.create_table(
        "replayed_task",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("replayed_as", sa.Uuid(), nullable=False),
        sa.Column("replay_id", sa.Uuid(), nullable=True),
        sa.Column("replayed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_replayed_task")),
    )
    op.create_index("ix_replayed_task_replay_id", "replayed_task", ["replay_id"], unique=False)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("replayed_task")
    op.drop_table("replay")
    for table in ("task", "task_live"):
        op.drop_column(table, "replayed_from")

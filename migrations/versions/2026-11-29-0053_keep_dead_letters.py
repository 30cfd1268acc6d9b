"""Keep dead letters as rows of their own, and their numbers; a sweep adds those that there are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_dead_letters"
down_revision: str | None = "20261129_group_errors"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "dead_letter",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_dead_letter")),
    )
    for last in ("failed_at", "task_id"):
        op.create_index(f"ix_dead_letter_{last}", "dead_letter", ["task_type", "error_type", "queue", last])
    op.create_table(
        "dead_letter_count",
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_type", "error_type", "queue", "hour", name=op.f("pk_dead_letter_count")),
    )
    op.create_table(
        "dead_letter_delta",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_delta")),
    )
    op.create_table(
        "dead_letter_walk",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("walked_to", sa.Uuid(), nullable=False),
        sa.Column("rounds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dead_letter_walk")),
    )
    op.execute("INSERT INTO dead_letter_walk (name, walked_to) VALUES ('walk', '00000000-0000-0000-0000-000000000000')")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("dead_letter_walk", "dead_letter_delta", "dead_letter_count", "dead_letter"):
        op.drop_table(table)

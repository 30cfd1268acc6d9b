"""Keep what managed runs write."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_run_logs"
down_revision: str | None = "20261129_dead_letter_days"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.create_table(
        "run_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("first_line", sa.Integer(), nullable=False),
        sa.Column("line_count", sa.Integer(), nullable=False),
        sa.Column("is_last", sa.Boolean(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_log")),
    )
    op.create_index(
        "uq_run_log_task_id_attempt_run_first_line",
        "run_log",
        ["task_id", "attempt", "run", "first_line"],
        unique=True,
    )


def downgrade() -> None:
    """What was true before."""
    op.drop_table("run_log")

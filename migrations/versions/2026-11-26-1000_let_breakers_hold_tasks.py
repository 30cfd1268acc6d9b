"""Let circuit breakers hold tasks: what a task depends on, and how long it was held."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261126_let_breakers_hold"
down_revision: str | None = "20261125_add_circuit_breakers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_live", "task"):
        op.add_column(table, sa.Column("dependencies", sa.ARRAY(sa.Text()), nullable=True))
        op.add_column(table, sa.Column("held_seconds", sa.Double(), server_default=sa.text("0"), nullable=False))
    op.add_column("task_live", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("task_live", sa.Column("held_wait_seconds", sa.Double(), server_default=sa.text("0"), nullable=False))
    op.create_index(
        "ix_task_live_held_by",
        "task_live",
        ["held_reason", sa.text("priority DESC"), "due_at", "id"],
        postgresql_where=sa.text("place = 'held'"),
    )
    op.create_index("ix_breaker_not_closed", "breaker", ["scope", "name"], postgresql_where=sa.text("seen <> 'closed'"))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_breaker_not_closed", table_name="breaker")
    op.drop_index("ix_task_live_held_by", table_name="task_live")
    op.drop_column("task_live", "held_wait_seconds")
    op.drop_column("task_live", "held_at")
    for table in ("task", "task_live"):
        op.drop_column(table, "held_seconds")
        op.drop_column(table, "dependencies")

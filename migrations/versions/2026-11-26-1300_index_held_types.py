"""Index held tasks by what holds them and their type: those of types that fail fast are looked for all the time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261126_index_held_types"
down_revision: str | None = "20261126_add_worker_outcomes"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_task_live_held_type",
        "task_live",
        ["held_reason", "task_type"],
        postgresql_where=sa.text("place = 'held'"),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_held_type", table_name="task_live")

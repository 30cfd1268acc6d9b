"""Index what waits by whose it is, for turns between callers, but for what waits alone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_index_shares"
down_revision: str | None = "20261129_event_lanes"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COLUMNS = ["queue", "priority", "caller", "fairness_key", "due_at", "id"]


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("task_live", sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    where = sa.text("place = 'waiting' AND NOT alone")
    op.create_index("ix_task_live_shares", "task_live", _COLUMNS, postgresql_where=where)


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_shares", "task_live")
    op.drop_column("task_live", "alone")

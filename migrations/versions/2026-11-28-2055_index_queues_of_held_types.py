"""Index held tasks by their queue too: where tasks wait for a worker that knows their type is looked for all the time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_queues_of_held_types"
down_revision: str | None = "20261128_last_errors_of_breakers"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    _index("held_reason", "task_type", "queue")


def downgrade() -> None:
    """What was true before."""
    _index("held_reason", "task_type")


def _index(*columns: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_held_type", table_name="task_live")
    op.create_index("ix_task_live_held_type", "task_live", list(columns), postgresql_where=sa.text("place = 'held'"))

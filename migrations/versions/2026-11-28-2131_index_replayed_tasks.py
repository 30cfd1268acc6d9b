"""Index the tasks that an act ran again by their order, so that it is undone page by page; apart, so that nobody waits
while it is built.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "20261128_index_replayed"
down_revision: str | None = "20261128_acts_walk"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_replayed_task_replay_id_replayed_as", "replayed_task", ["replay_id", "replayed_as"], unique=False
    )
    op.drop_index("ix_replayed_task_replay_id", table_name="replayed_task")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("ix_replayed_task_replay_id", "replayed_task", ["replay_id"], unique=False)
    op.drop_index("ix_replayed_task_replay_id_replayed_as", table_name="replayed_task")

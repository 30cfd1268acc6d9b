"""Mark what an undo took back: the cancelled task points to the one it was made from, which stands for it again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_mark_undone_replays"
down_revision: str | None = "20261128_mend_an_older_order"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("replayed_task", sa.Column("undone", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    """What was true before: one that was undone is not known to belong to its replay."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM replayed_task WHERE undone")
    op.drop_column("replayed_task", "undone")

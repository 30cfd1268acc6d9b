"""Let a submission say whose share of its caller's it is."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_fairness_keys"
down_revision: str | None = "20261129_sessions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = ("task_live", "task")


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.add_column(table, sa.Column("fairness_key", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.drop_column(table, "fairness_key")

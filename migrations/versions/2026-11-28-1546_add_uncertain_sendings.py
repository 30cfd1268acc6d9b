"""Count what a new epoch sends again without knowing whether it had run."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_add_uncertain_sendings"
down_revision: str | None = "20261128_count_unclaimed"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = ("task_live", "task")
_COUNTED = ("task_metrics", "task_metrics_delta")
_NAME = "uncertain_sendings"


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.add_column(table, sa.Column(_NAME, sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    for table in _COUNTED:
        op.add_column(table, sa.Column(_NAME, sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (*_TABLES, *_COUNTED):
        op.drop_column(table, _NAME)

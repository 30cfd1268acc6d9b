"""Count how plain Celery runs ended apart from tasks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_count_native_outcomes"
down_revision: str | None = "20261128_add_totals"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = ("task_metrics", "task_metrics_delta")
_COLUMNS = ("native_succeeded", "native_failed", "native_retried")


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        for name in _COLUMNS:
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        for name in _COLUMNS:
            op.drop_column(table, name)

"""Count in TaskMetrics how many predictions were compared with what came, and how many of them held."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_count_predictions"
down_revision: str | None = "20261129_index_lists"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = (
    "task_metrics", "task_metrics_hour", "task_metrics_day", "task_metrics_by_minute", "task_metrics_by_hour",
    "task_metrics_by_day", "task_metrics_delta",
)  # fmt: skip
_NEW = ("predicted", "kept", "kept_p50")
_OTHER = "current_setting('pointsman.folds', true) IS DISTINCT FROM 'days'"
# The release before would take these deltas and drop what it does not know of them: they wait for this one.
_UNKNOWN = "OLD.predicted > 0 AND current_setting('pointsman.counts', true) IS DISTINCT FROM 'predictions'"
_GUARD = """
    CREATE TRIGGER leave BEFORE DELETE ON task_metrics_delta FOR EACH ROW
    WHEN ({when}) EXECUTE FUNCTION task_metrics_leave()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        for name in _NEW:
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute("DROP TRIGGER leave ON task_metrics_delta")
    op.execute(_GUARD.format(when=f"{_OTHER} OR {_UNKNOWN}"))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER leave ON task_metrics_delta")
    op.execute(_GUARD.format(when=_OTHER))
    for table in _TABLES:
        for name in _NEW:
            op.drop_column(table, name)

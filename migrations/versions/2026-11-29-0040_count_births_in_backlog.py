"""Let a birth be counted in the backlog by the row of counters that it writes anyhow."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_births_in_backlog"
down_revision: str | None = "20261129_unlogged_exposed"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Whoever folds the row, an older release too, moves what it says of births in the same transaction.
_COUNT = """
CREATE FUNCTION count_births_in_backlog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT OLD.queue, born.state, born.tasks
    FROM (VALUES ('queued', OLD.born_waiting), ('scheduled', OLD.born_asleep)) AS born (state, tasks)
    WHERE born.tasks > 0;
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER count_births_in_backlog AFTER DELETE ON task_metrics_delta FOR EACH ROW
WHEN (OLD.born_waiting > 0 OR OLD.born_asleep > 0) EXECUTE FUNCTION count_births_in_backlog()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("born_waiting", "born_asleep"):
        op.add_column(
            "task_metrics_delta", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        )
    op.execute(_COUNT)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER count_births_in_backlog ON task_metrics_delta")
    op.execute("DROP FUNCTION count_births_in_backlog()")
    op.execute(
        "INSERT INTO backlog_delta (queue, state, tasks)"
        " SELECT queue, 'queued', sum(born_waiting) FROM task_metrics_delta GROUP BY queue HAVING sum(born_waiting) > 0"
        " UNION ALL SELECT queue, 'scheduled', sum(born_asleep) FROM task_metrics_delta GROUP BY queue"
        " HAVING sum(born_asleep) > 0"
    )
    for name in ("born_waiting", "born_asleep"):
        op.drop_column("task_metrics_delta", name)

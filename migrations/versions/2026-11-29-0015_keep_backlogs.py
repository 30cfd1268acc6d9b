"""Keep how many tasks wait in numbers, and what was seen of queues and workers over time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_keep_backlogs"
down_revision: str | None = "20261128_exposed_metrics"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COUNT = """
CREATE FUNCTION count_in_backlog() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.place <> 'sent' THEN
        INSERT INTO backlog_delta (queue, state, held_reason, tasks)
        VALUES (OLD.queue, OLD.state, CASE WHEN OLD.place = 'held' THEN coalesce(OLD.held_reason, '') ELSE '' END, -1);
    END IF;
    IF NEW.place <> 'sent' THEN
        INSERT INTO backlog_delta (queue, state, held_reason, tasks)
        VALUES (NEW.queue, NEW.state, CASE WHEN NEW.place = 'held' THEN coalesce(NEW.held_reason, '') ELSE '' END, 1);
    END IF;
    RETURN NULL;
END $$
"""
# But for three moves that their statements count, for they come by the hundred: a sending, a retry, a waking.
_TRIGGER = """
CREATE TRIGGER count_in_backlog AFTER UPDATE ON task_live FOR EACH ROW WHEN (
    (OLD.place <> 'sent' OR NEW.place <> 'sent')
    AND (OLD.place <> NEW.place OR OLD.state <> NEW.state OR OLD.queue <> NEW.queue
        OR OLD.held_reason IS DISTINCT FROM NEW.held_reason)
    AND NOT (OLD.place = 'waiting' AND NEW.place = 'sent' AND NEW.state = 'queued' AND NEW.dispatch = OLD.dispatch + 1)
    AND NOT (OLD.state = 'running' AND NEW.state = 'retrying')
    AND NOT (OLD.place = 'asleep' AND NEW.place = 'waiting' AND OLD.due_at = NEW.due_at)
) EXECUTE FUNCTION count_in_backlog()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "backlog",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("held_reason", sa.Text(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state", "held_reason", name=op.f("pk_backlog")),
    )
    op.create_table(
        "backlog_delta",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("held_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backlog_delta")),
    )
    op.execute(
        "ALTER TABLE backlog_delta SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
        " autovacuum_vacuum_cost_delay = 0)"
    )
    for table, key in (("queue_metrics", "queue"), ("worker_metrics", "pool")):
        op.create_table(
            table,
            sa.Column(key, sa.Text(), nullable=False),
            sa.Column("step_seconds", sa.Integer(), nullable=False),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("figure", sa.Text(), nullable=False),
            sa.Column("samples", sa.BigInteger(), nullable=False),
            sa.Column("total", sa.Double(), nullable=False),
            sa.Column("low", sa.Double(), nullable=False),
            sa.Column("high", sa.Double(), nullable=False),
            sa.Column("last", sa.Double(), nullable=False),
            sa.Column("sampled_at", sa.DateTime(timezone=True), nullable=False),
            sa.PrimaryKeyConstraint("step_seconds", "at", "figure", key, name=op.f(f"pk_{table}")),
        )
    # Before anybody waits for the lock. What moves until the recorder is of this release too, it sets right.
    op.execute(
        "INSERT INTO backlog (queue, state, held_reason, tasks)"
        " SELECT queue, state, CASE WHEN place = 'held' THEN coalesce(held_reason, '') ELSE '' END, count(*)"
        " FROM task_live WHERE place <> 'sent' GROUP BY 1, 2, 3"
    )
    op.execute(_COUNT)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER count_in_backlog ON task_live")
    op.execute("DROP FUNCTION count_in_backlog()")
    for table in ("worker_metrics", "queue_metrics", "backlog_delta", "backlog"):
        op.drop_table(table)

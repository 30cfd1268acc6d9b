"""Keep TaskMetrics by hour and day beside minutes, and by caller, error and pool.

What is there is carried over by the first folds of the release that knows hours (``store.metrics.carrying``), a day at
a time: until then it is read by minutes.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261129_hours_and_days"
down_revision: str | None = "20261129_keep_predictions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COUNTED = (
    "submitted", "started", "executions", "succeeded", "failed", "cancelled", "expired", "retried", "timed_out",
    "interrupted", "uncertain_sendings", "duplicates", "native", "native_succeeded", "native_failed", "native_retried",
    "sla_met", "sla_missed",
)  # fmt: skip
_NEW = ("held", "rescued", "cancelled_running")
_NEW_SECONDS = "held_seconds_sum"
_SECONDS = ("run_seconds_sum", "queue_wait_seconds_sum", _NEW_SECONDS)
_WHOLE = ", ".join(
    (*_COUNTED, "run_seconds_sum", "queue_wait_seconds_sum", "run_buckets", "run_counts", "wait_buckets", "wait_counts")
)
_THERE = ("task_metrics", "task_metrics_delta")
_NAMES = ("caller", "error", "pool")

# The release before folds minutes alone. While this one folds, the other finds nothing to take; when this one is gone,
# it goes on as ever.
_LEAVE = """
    CREATE FUNCTION task_metrics_leave() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM task_metrics_kept WHERE folded_at > now() - interval '1 minute') THEN
            RETURN NULL;
        END IF;
        RETURN OLD;
    END $$
"""
# What it then folds, and what others write by hand or by COPY, is carried over again.
_CARRY = """
    CREATE FUNCTION task_metrics_carry() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE task_metrics_kept SET carried_to = NULL WHERE carried_to IS NOT NULL;
        RETURN NULL;
    END $$
"""
_CARRY_GUARD = """
    CREATE TRIGGER carry AFTER INSERT OR UPDATE ON task_metrics FOR EACH STATEMENT
    WHEN (current_setting('pointsman.folds', true) IS DISTINCT FROM 'days') EXECUTE FUNCTION task_metrics_carry()
"""
_GUARD = """
    CREATE TRIGGER leave BEFORE DELETE ON {table} FOR EACH ROW
    WHEN (current_setting('pointsman.folds', true) IS DISTINCT FROM 'days') EXECUTE FUNCTION task_metrics_leave()
"""


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _seconds(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), server_default=sa.text("0"), nullable=False)


def _array(name: str, item: Any) -> sa.Column[Any]:
    return sa.Column(name, postgresql.ARRAY(item), server_default=sa.text("'{}'"), nullable=False)


def _rollup(table: str, *keys: str) -> None:
    key_columns = [
        sa.Column(key, sa.DateTime(timezone=True) if key in ("minute", "hour", "day") else sa.Text(), nullable=False)
        for key in keys
    ]
    op.create_table(
        table,
        *key_columns,
        *map(_count, _COUNTED),
        *map(_count, _NEW),
        *map(_seconds, _SECONDS),
        *(_array(f"{name}_buckets", sa.SmallInteger()) for name in ("run", "wait")),
        *(_array(f"{name}_counts", sa.Integer()) for name in ("run", "wait")),
        sa.PrimaryKeyConstraint(*keys, name=op.f(f"pk_{table}")),
    )


def _tell_old_days() -> None:
    """The release before made one row of a day that was older than 32 days, under its first minute."""
    old = "date_trunc('day', now() - interval '32 days', 'UTC')"
    op.execute(
        f"UPDATE task_metrics_kept SET minutes_since = {old}, hours_since = {old}"
        f" WHERE EXISTS (SELECT FROM task_metrics WHERE minute < {old})"
    )
    op.execute(
        f"INSERT INTO task_metrics_day (day, task_type, queue, {_WHOLE}) SELECT minute, task_type, queue, {_WHOLE}"
        f" FROM task_metrics WHERE minute < {old} AND minute = date_trunc('day', minute, 'UTC')"
    )


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _THERE:
        for name in _NEW:
            op.add_column(table, _count(name))
        op.add_column(table, _seconds(_NEW_SECONDS))
    for name in _NAMES:
        op.add_column("task_metrics_delta", sa.Column(name, sa.Text(), nullable=True))
    for unit in ("hour", "day"):
        _rollup(f"task_metrics_{unit}", unit, "task_type", "queue")
    for unit in ("minute", "hour", "day"):
        _rollup(f"task_metrics_by_{unit}", "grouped_by", unit, "name")
    ever = sa.text("'1970-01-01 00:00:00+00'")
    op.create_table(
        "task_metrics_kept",
        sa.Column("id", sa.SmallInteger(), server_default=sa.text("1"), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), server_default=ever, nullable=False)
            for name in ("minutes_since", "hours_since", "days_since")
        ),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=True)
            for name in ("carried_to", "began_at", "folded_at")
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_task_metrics_kept_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_metrics_kept")),
    )
    op.execute("INSERT INTO task_metrics_kept DEFAULT VALUES")
    _tell_old_days()
    op.execute(_LEAVE)
    for table in _THERE:
        op.execute(_GUARD.format(table=table))
    op.execute(_CARRY)
    op.execute(_CARRY_GUARD)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _THERE:
        op.execute(f"DROP TRIGGER leave ON {table}")
    op.execute("DROP TRIGGER carry ON task_metrics")
    for name in ("leave", "carry"):
        op.execute(f"DROP FUNCTION task_metrics_{name}()")
    # The release before has one row of an old day, under its first minute.
    op.execute("DELETE FROM task_metrics WHERE minute < (SELECT minutes_since FROM task_metrics_kept)")
    op.execute(
        f"INSERT INTO task_metrics (minute, task_type, queue, {_WHOLE}) SELECT day, task_type, queue, {_WHOLE}"
        " FROM task_metrics_day WHERE day < (SELECT minutes_since FROM task_metrics_kept)"
    )
    op.drop_table("task_metrics_kept")
    for unit in ("minute", "hour", "day"):
        op.drop_table(f"task_metrics_by_{unit}")
    for unit in ("hour", "day"):
        op.drop_table(f"task_metrics_{unit}")
    for name in _NAMES:
        op.drop_column("task_metrics_delta", name)
    for table in _THERE:
        for name in (*_NEW, _NEW_SECONDS):
            op.drop_column(table, name)

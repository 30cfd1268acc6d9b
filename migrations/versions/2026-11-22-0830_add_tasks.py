"""Add the tables of the main job."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261122_add_tasks"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "broker_epoch",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_broker_epoch")),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"], unique=False)
    op.create_table(
        "leader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leader")),
    )
    op.create_table(
        "native_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_native_run")),
    )
    op.create_index("ix_native_run_finished_at", "native_run", ["finished_at"], unique=False)
    op.create_index("ix_native_run_task_id", "native_run", ["task_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "recorder_position",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("last_id", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("pk_recorder_position")),
    )
    op.create_table(
        "task",
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=True),
        sa.Column("queue_wait_seconds", sa.Double(), nullable=True),
        sa.Column("sla_met", sa.Boolean(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_traceback", sa.Text(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("dispatch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_seconds", sa.REAL(), nullable=False),
        sa.Column("timeout_seconds", sa.REAL(), nullable=False),
        sa.Column("requested_timeout_seconds", sa.REAL(), nullable=True),
        sa.Column("delay_seconds", sa.Double(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("kwargs", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('cancelled', 'expired', 'failed', 'succeeded')", name=op.f("ck_task_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_task_not_succeeded", "task", ["state", "id"], unique=False, postgresql_where=sa.text("state <> 'succeeded'")
    )
    op.create_index("ix_task_task_type_id", "task", ["task_type", "id"], unique=False)
    op.create_table(
        "task_attempt",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("error_traceback", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "attempt", name=op.f("pk_task_attempt")),
    )
    op.create_table(
        "task_live",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("sent_epoch", sa.Integer(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("dispatch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_seconds", sa.REAL(), nullable=False),
        sa.Column("timeout_seconds", sa.REAL(), nullable=False),
        sa.Column("requested_timeout_seconds", sa.REAL(), nullable=True),
        sa.Column("delay_seconds", sa.Double(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("kwargs", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(place = 'asleep' AND state IN ('retrying', 'scheduled')) OR (place = 'waiting' AND state IN ('queued')) OR (place = 'sent' AND state IN ('queued', 'running')) OR (place = 'held' AND state IN ('held'))",
            name=op.f("ck_task_live_place"),
        ),
        sa.CheckConstraint(
            "state IN ('held', 'queued', 'retrying', 'running', 'scheduled')", name=op.f("ck_task_live_state")
        ),
        sa.CheckConstraint("priority BETWEEN 0 AND 10", name=op.f("ck_task_live_priority")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_live")),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "2000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_task_live_asleep", "task_live", ["due_at"], unique=False, postgresql_where=sa.text("place = 'asleep'")
    )
    op.create_index(
        "ix_task_live_expires_at",
        "task_live",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index("ix_task_live_held", "task_live", ["id"], unique=False, postgresql_where=sa.text("place = 'held'"))
    op.create_index(
        "ix_task_live_waiting",
        "task_live",
        ["queue", sa.literal_column("priority DESC"), "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("place = 'waiting'"),
    )
    op.create_table(
        "task_metrics",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("submitted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("executions", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("retried", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("timed_out", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("native", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_met", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_missed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_seconds_sum", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queue_wait_seconds_sum", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_buckets", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("run_counts", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("wait_buckets", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("wait_counts", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("minute", "task_type", "queue", name=op.f("pk_task_metrics")),
    )
    op.create_table(
        "task_metrics_delta",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("executions", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expired", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("retried", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("timed_out", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("native", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_met", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sla_missed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_seconds_sum", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queue_wait_seconds_sum", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_buckets", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("run_counts", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("wait_buckets", sa.ARRAY(sa.SmallInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("wait_counts", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_metrics_delta")),
    )
    op.create_table(
        "task_type",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("first_published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", "content_hash", name=op.f("pk_task_type")),
    )
    op.create_table(
        "worker",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("processes", sa.Integer(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("contract", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_worker")),
    )
    op.execute("CREATE TABLE task_default PARTITION OF task DEFAULT")
    # Rows of these two live for a second: vacuum them by number, not by share.
    for table in ("outbox", "task_metrics_delta"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
            " autovacuum_vacuum_cost_delay = 0)"
        )


def downgrade() -> None:
    """How to go back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("worker")
    op.drop_table("task_type")
    op.drop_table("task_metrics_delta")
    op.drop_table("task_metrics")
    op.drop_index("ix_task_live_waiting", table_name="task_live", postgresql_where=sa.text("place = 'waiting'"))
    op.drop_index("ix_task_live_held", table_name="task_live", postgresql_where=sa.text("place = 'held'"))
    op.drop_index("ix_task_live_expires_at", table_name="task_live", postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.drop_index("ix_task_live_asleep", table_name="task_live", postgresql_where=sa.text("place = 'asleep'"))
    op.drop_table("task_live")
    op.drop_table("task_attempt")
    op.drop_index("ix_task_task_type_id", table_name="task")
    op.drop_index("ix_task_not_succeeded", table_name="task", postgresql_where=sa.text("state <> 'succeeded'"))
    op.drop_table("task")
    op.drop_table("recorder_position")
    op.drop_table("outbox")
    op.drop_index("ix_native_run_task_id", table_name="native_run")
    op.drop_index("ix_native_run_finished_at", table_name="native_run")
    op.drop_table("native_run")
    op.drop_table("leader")
    op.drop_index("ix_idempotency_key_created_at", table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_table("broker_epoch")

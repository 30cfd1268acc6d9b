"""Group failures by their cause: the groups, how often each occurred, and the group of a task and of an attempt."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_group_errors"
down_revision: str | None = "20261129_births_in_backlog"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "error_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("blamed", sa.Text(), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tasks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("example_task_id", sa.Uuid(), nullable=False),
        sa.Column("example_attempt", sa.SmallInteger(), nullable=False),
        sa.Column("example_message", sa.Text(), nullable=False),
        sa.Column("example_traceback", sa.Text(), nullable=False),
        sa.Column("recent_task_ids", sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("news_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("came_back", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("set_by", sa.Text(), nullable=True),
        sa.Column("set_reason", sa.Text(), nullable=True),
        sa.Column("ignored_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ignored_per_hour", sa.Integer(), nullable=True),
        sa.Column("ignored_count", sa.BigInteger(), nullable=True),
        sa.Column("ignored_from", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('ignored', 'open', 'resolved')", name=op.f("ck_error_group_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_error_group")),
    )
    op.create_index("ix_error_group_changed_at_id", "error_group", ["changed_at", "id"], unique=False)
    op.create_index(
        "ix_error_group_task_type_first_seen_at", "error_group", ["task_type", "first_seen_at"], unique=False
    )
    op.create_index("ix_error_group_last_seen_at", "error_group", ["last_seen_at"], unique=False)
    op.create_index(
        "ix_error_group_news_at",
        "error_group",
        ["news_at"],
        unique=False,
        postgresql_where=sa.text("news_at IS NOT NULL"),
    )
    op.create_table(
        "error_group_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("error_group", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_error_group_change")),
    )
    op.create_index("ix_error_group_change_error_group_id", "error_group_change", ["error_group", "id"], unique=False)
    op.create_table(
        "error_count",
        sa.Column("error_group", sa.Uuid(), nullable=False),
        sa.Column("step_seconds", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("occurrences", sa.BigInteger(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("error_group", "step_seconds", "since", "queue", name=op.f("pk_error_count")),
    )
    op.create_index("ix_error_count_step_seconds_since", "error_count", ["step_seconds", "since"], unique=False)
    op.create_table(
        "error_delta",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("error_group", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("example_task_id", sa.Uuid(), nullable=False),
        sa.Column("example_attempt", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_error_delta")),
    )
    for table in ("task", "task_attempt"):
        op.add_column(table, sa.Column("error_group", sa.Uuid(), nullable=True))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_attempt", "task"):
        op.drop_column(table, "error_group")
    for table in ("error_delta", "error_count", "error_group_change", "error_group"):
        op.drop_table(table)

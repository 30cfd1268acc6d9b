"""Add circuit breakers and the history of their states."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261125_add_circuit_breakers"
down_revision: str | None = "20261125_add_queue_pauses"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "breaker",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("turns_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("machine", postgresql.JSONB(), nullable=False),
        sa.Column("policy", postgresql.JSONB(), nullable=True),
        sa.Column("policy_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("scope IN ('dependency', 'task_type', 'worker')", name=op.f("ck_breaker_scope")),
        sa.CheckConstraint(
            "seen IN ('closed', 'disabled', 'forced_open', 'half_open', 'open')", name=op.f("ck_breaker_seen")
        ),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_breaker")),
    )
    op.create_index("ix_breaker_turns_at", "breaker", ["turns_at"], postgresql_where=sa.text("turns_at IS NOT NULL"))
    op.create_table(
        "breaker_transition",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breaker_transition")),
    )
    op.create_index("ix_breaker_transition_scope_name_id", "breaker_transition", ["scope", "name", "id"])


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("breaker_transition")
    op.drop_table("breaker")

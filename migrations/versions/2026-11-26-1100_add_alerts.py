"""Add alerts, their silences and their deliveries."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261126_add_alerts"
down_revision: str | None = "20261126_let_breakers_hold"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("now()")


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("bound", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_by", sa.Text(), nullable=True),
        sa.Column("ack_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("severity IN ('page', 'ticket')", name=op.f("ck_alert_severity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index("uq_alert_open_key", "alert", ["key"], unique=True, postgresql_where=sa.text("resolved_at IS NULL"))
    op.create_index(
        "ix_alert_resolved_at", "alert", ["resolved_at"], postgresql_where=sa.text("resolved_at IS NOT NULL")
    )
    op.create_table(
        "alert_silence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("matcher", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_silence")),
    )
    op.create_index("ix_alert_silence_until", "alert_silence", ["until"])
    op.create_table(
        "alert_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("message", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("last_status", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("event IN ('opened', 'repeated', 'resolved', 'test')", name=op.f("ck_alert_delivery_event")),
        sa.CheckConstraint(
            "status IN ('dropped', 'gave_up', 'pending', 'sent')", name=op.f("ck_alert_delivery_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_delivery")),
    )
    op.create_index(
        "ix_alert_delivery_pending", "alert_delivery", ["next_at"], postgresql_where=sa.text("status = 'pending'")
    )
    op.create_index("ix_alert_delivery_alert_id", "alert_delivery", ["alert_id"])


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("alert_delivery")
    op.drop_table("alert_silence")
    op.drop_table("alert")

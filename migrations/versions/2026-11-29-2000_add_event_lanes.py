"""Remember how far the signed events of each lane were written down."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_event_lanes"
down_revision: str | None = "20261129_audit_owner"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "event_lane",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("lane", name=op.f("pk_event_lane")),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("event_lane")

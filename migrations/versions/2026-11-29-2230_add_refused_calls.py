"""Add how many calls were refused, by why."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_refused_calls"
down_revision: str | None = "20261129_weigh_keys"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "refused_call",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reason", name="pk_refused_call"),
    )


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("refused_call")

"""Let keys say how many turns the tasks of their callers have."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_weigh_keys"
down_revision: str | None = "20261129_bury_shares"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_key", sa.Column("weight", sa.Double()))
    op.create_index("ix_api_key_weight", "api_key", ["name"], postgresql_where=sa.text("weight IS NOT NULL"))


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_api_key_weight", "api_key")
    op.drop_column("api_key", "weight")

"""Keep how many tasks an act by a filter was to find at most, beside how many it goes on to."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_at_most"
down_revision: str | None = "20261129_worker_names"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("replay", sa.Column("at_most", sa.Integer(), nullable=True))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("replay", "at_most")

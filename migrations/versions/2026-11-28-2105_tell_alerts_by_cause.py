"""Let an alert name what it leads to, and one that ends say which other it is told with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_tell_by_cause"
down_revision: str | None = "20261128_queues_of_held_types"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("alert", sa.Column("also", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("alert", sa.Column("part_of", sa.Text(), nullable=True))


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("alert", "part_of")
    op.drop_column("alert", "also")

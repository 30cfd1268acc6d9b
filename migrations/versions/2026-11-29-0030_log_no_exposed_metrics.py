"""Write what ``/metrics`` tells to no log: it is renewed every few seconds, and nobody misses it after a crash."""

from collections.abc import Sequence

from alembic import op

revision: str = "20261129_unlogged_exposed"
down_revision: str | None = "20261128_keep_backlogs"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE exposed_metrics SET UNLOGGED")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE exposed_metrics SET LOGGED")

"""Let a lead be taken without a fencing number: nobody reads it. The column stays for the release before."""

from collections.abc import Sequence

from alembic import op

revision: str = "20261128_leads_have_no_fence"
down_revision: str | None = "20261128_add_uncertain_sendings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("leader", "fence", server_default="1")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("leader", "fence", server_default=None)

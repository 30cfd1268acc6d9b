"""Find what was done to more than one task among what was done to single ones, which is kept from now on, too."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_find_acts"
down_revision: str | None = "20261129_tell_listeners"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    others = sa.text("NOT (act IN ('cancel_task', 'change_task', 'retry_task'))")
    op.create_index("ix_audit_at_of_others", "audit", ["at"], postgresql_where=others)


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_audit_at_of_others", "audit")

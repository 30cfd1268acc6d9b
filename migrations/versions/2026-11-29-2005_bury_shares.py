"""Count a link to a task among what is done to single ones: programs make them, and they would bury other acts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_bury_shares"
down_revision: str | None = "20261129_quotas"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = "'cancel_task', 'change_task', 'retry_task'"


def upgrade() -> None:
    """What becomes true."""
    _others_than(f"{_BEFORE}, 'share_task'")


def downgrade() -> None:
    """How it is undone."""
    _others_than(_BEFORE)


def _others_than(acts: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_audit_at_of_others", "audit")
    op.create_index("ix_audit_at_of_others", "audit", ["at"], postgresql_where=sa.text(f"NOT (act IN ({acts}))"))

"""Let browsers sign in: a session is a key that ends soon and stands for the one that it was begun with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_sessions"
down_revision: str | None = "20261129_chain_acts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OPEN = "revoked_at IS NULL AND replaced_by IS NULL"


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_key", sa.Column("session_of", sa.Uuid()))
    op.drop_index("ix_api_key_name", "api_key")
    where = sa.text(f"{_OPEN} AND session_of IS NULL")
    op.create_index("ix_api_key_name", "api_key", ["name"], unique=True, postgresql_where=where)


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM api_key WHERE session_of IS NOT NULL")
    op.drop_index("ix_api_key_name", "api_key")
    op.create_index("ix_api_key_name", "api_key", ["name"], unique=True, postgresql_where=sa.text(_OPEN))
    op.drop_column("api_key", "session_of")

"""Let keys say how fast their callers may submit."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_limit_rates"
down_revision: str | None = "20261129_index_shares"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# When it was last used is no change.
_TRIGGER = """
CREATE TRIGGER number_api_key BEFORE INSERT OR UPDATE OF digest, name, preset, scopes, task_types, queues, expires_at,
    revoked_at, replaced_by{more} ON api_key FOR EACH ROW EXECUTE FUNCTION number_api_key()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_key", sa.Column("rate", sa.Text()))
    op.add_column("api_key", sa.Column("burst", sa.Integer()))
    op.execute("DROP TRIGGER number_api_key ON api_key")
    op.execute(_TRIGGER.format(more=", rate, burst"))


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER number_api_key ON api_key")
    op.execute(_TRIGGER.format(more=""))
    op.drop_column("api_key", "burst")
    op.drop_column("api_key", "rate")

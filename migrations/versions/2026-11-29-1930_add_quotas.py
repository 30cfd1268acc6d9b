"""Let keys say how many tasks of their callers may wait."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_quotas"
down_revision: str | None = "20261129_limit_rates"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# When it was last used is no change.
_TRIGGER = """
CREATE TRIGGER number_api_key BEFORE INSERT OR UPDATE OF digest, name, preset, scopes, task_types, queues, expires_at,
    revoked_at, replaced_by, rate, burst{more} ON api_key FOR EACH ROW EXECUTE FUNCTION number_api_key()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("api_key", sa.Column("quota", sa.Integer()))
    op.execute("DROP TRIGGER number_api_key ON api_key")
    op.execute(_TRIGGER.format(more=", quota"))


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER number_api_key ON api_key")
    op.execute(_TRIGGER.format(more=""))
    op.drop_column("api_key", "quota")

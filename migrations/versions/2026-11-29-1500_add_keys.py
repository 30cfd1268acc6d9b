"""Keep keys of callers, numbered by when they were last changed, and tell of each change."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261129_keys"
down_revision: str | None = "20261129_find_acts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The lock is held until the commit: whoever has seen a number has seen all below it.
_NUMBER = """
CREATE FUNCTION number_api_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pointsman api_key', 0));
    NEW.revision := nextval('api_key_revision');
    PERFORM pg_notify('pointsman_keys', '');
    RETURN NEW;
END $$
"""
# When it was last used is no change.
_TRIGGER = """
CREATE TRIGGER number_api_key BEFORE INSERT OR UPDATE OF digest, name, preset, scopes, task_types, queues, expires_at,
    revoked_at, replaced_by ON api_key FOR EACH ROW EXECUTE FUNCTION number_api_key()
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("first_shown", sa.Text(), nullable=False),
        sa.Column("last_shown", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("preset", sa.Text()),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("task_types", postgresql.ARRAY(sa.Text())),
        sa.Column("queues", postgresql.ARRAY(sa.Text())),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_by", sa.Text()),
        sa.Column("replaces", sa.Uuid()),
        sa.Column("replaced_by", sa.Uuid()),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_index("ix_api_key_digest", "api_key", ["digest"], unique=True)
    op.create_index("ix_api_key_revision", "api_key", ["revision"], unique=True)
    op.create_index(
        "ix_api_key_name",
        "api_key",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL AND replaced_by IS NULL"),
    )
    op.execute("CREATE SEQUENCE api_key_revision OWNED BY api_key.revision")
    op.execute(_NUMBER)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("api_key")
    op.execute("DROP FUNCTION number_api_key()")

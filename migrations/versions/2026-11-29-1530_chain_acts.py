"""Chain what is kept of acts, so that nobody changes or removes an entry unseen, and keep from where it was asked."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261129_chain_acts"
down_revision: str | None = "20261129_keys"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Each with its length before it: no two entries are written alike.
_PART = """
CREATE FUNCTION audit_part(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value IS NULL THEN '-' ELSE octet_length(convert_to(value, 'UTF8')) || ':' || value END
$$
"""
# The row of the head is locked until the commit: numbers have no gaps, and rise in the order of commits.
_CHAIN = """
CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head;
BEGIN
    SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
    NEW.number := head.entries + 1;
    NEW.previous := head.hash;
    NEW.hash := sha256(NEW.previous || convert_to(
        audit_part(NEW.number::text) || audit_part((extract(epoch FROM NEW.at) * 1000000)::bigint::text)
        || audit_part(NEW.act) || audit_part(NEW.subject) || audit_part(NEW.actor) || audit_part(NEW.caller)
        || audit_part(NEW.address) || audit_part(NEW.reason) || audit_part(NEW.request_id)
        || audit_part(NEW.counts::text), 'UTF8'));
    UPDATE audit_head SET entries = NEW.number, hash = NEW.hash;
    RETURN NEW;
END $$
"""
# What is kept long enough leaves from the front, and only for who says so.
_KEEP = """
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '7 days'
            AND current_setting('pointsman.audit_leaves', true) = 'by age' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'what is kept of acts is never changed' USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column in (
        sa.Column("address", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("counts", postgresql.JSONB()),
        sa.Column("number", sa.BigInteger()),
        sa.Column("previous", sa.LargeBinary()),
        sa.Column("hash", sa.LargeBinary()),
    ):
        op.add_column("audit", column)
    op.create_index("ix_audit_number", "audit", ["number"], unique=True)
    op.create_index("ix_audit_caller", "audit", ["caller", "id"])
    op.create_index("ix_audit_subject", "audit", ["subject", "id"])
    op.create_table(
        "audit_head",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("left_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_audit_head")),
        sa.CheckConstraint("one", name=op.f("ck_audit_head_is_one")),
    )
    op.execute("INSERT INTO audit_head (one, entries, hash, left_until) VALUES (true, 0, '', 0)")
    op.execute(_PART)
    op.execute(_CHAIN)
    op.execute(_KEEP)
    op.execute("CREATE TRIGGER chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit()")
    op.execute("CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit()")
    op.execute("CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit EXECUTE FUNCTION keep_audit()")


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for trigger in ("chain", "keep", "keep_all"):
        op.execute(f"DROP TRIGGER {trigger} ON audit")
    for function in ("chain_audit()", "keep_audit()", "audit_part(text)"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("audit_head")
    for index in ("number", "caller", "subject"):
        op.drop_index(f"ix_audit_{index}", "audit")
    for column in ("hash", "previous", "number", "counts", "request_id", "address"):
        op.drop_column("audit", column)

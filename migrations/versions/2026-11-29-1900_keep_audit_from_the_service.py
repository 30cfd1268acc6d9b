"""Let functions of the audit's owner write and remove entries, so that the role of the service need not be able to."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_audit_owner"
down_revision: str | None = "20261129_fairness_keys"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Who migrates with two roles does it as that of the service, which does not own the audit.
_AS_OWNER = "RESET ROLE"
_AS_BEFORE = """
DO $$ BEGIN
    IF coalesce(current_setting('pointsman.migrates_as', true), '') <> '' THEN
        EXECUTE format('SET ROLE %I', current_setting('pointsman.migrates_as'));
    END IF;
END $$
"""
# Everything is named with its schema: whoever calls these may have made others of the same names.
_CHAIN = """
CREATE OR REPLACE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql{definer} AS $$
DECLARE
    head {schema}audit_head;
BEGIN
    SELECT * INTO STRICT head FROM {schema}audit_head FOR UPDATE;
    NEW.number := head.entries + 1;
    NEW.previous := head.hash;
    NEW.hash := sha256(NEW.previous || convert_to(
        {parts}, 'UTF8'));
    UPDATE {schema}audit_head SET entries = NEW.number, hash = NEW.hash;
    RETURN NEW;
END $$
"""
_HASHED = (
    "NEW.number::text", "(extract(epoch FROM NEW.at) * 1000000)::bigint::text", "NEW.act", "NEW.subject", "NEW.actor",
    "NEW.caller", "NEW.address", "NEW.reason", "NEW.request_id", "NEW.counts::text",
)  # fmt: skip
_KEEP = """
CREATE OR REPLACE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql{definer} AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - {kept}
            AND current_setting('pointsman.audit_leaves', true) = 'by age' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'what is kept of acts is never changed' USING ERRCODE = 'restrict_violation';
END $$
"""
# What is older and stands behind something younger waits for that: entries leave from the front.
_LEAVE = """
CREATE FUNCTION leave_audit(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE plpgsql{definer} AS $$
DECLARE
    floor timestamptz;
    left_now bigint;
BEGIN
    SELECT least(cutoff, now() - kept_days * interval '1 day') INTO STRICT floor FROM {schema}audit_head;
    PERFORM set_config('pointsman.audit_leaves', 'by age', true);
    WITH gone AS (
        DELETE FROM {schema}audit WHERE id IN (
            SELECT id FROM {schema}audit WHERE at < floor
                AND (number IS NULL OR number < (SELECT coalesce(min(number), 9223372036854775807)
                    FROM {schema}audit WHERE at >= floor))
            ORDER BY id LIMIT most)
        RETURNING number
    ), counted AS (SELECT count(*) AS entries, max(number) AS last FROM gone), noted AS (
        UPDATE {schema}audit_head SET left_until = greatest(left_until, counted.last) FROM counted
        WHERE counted.entries > 0
    )
    SELECT entries INTO left_now FROM counted;
    PERFORM set_config('pointsman.audit_leaves', '', true);
    RETURN left_now;
END $$
"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_AS_OWNER)
    # Nothing younger leaves, whoever asks. Who migrates with two roles sets it to what is configured.
    op.add_column("audit_head", sa.Column("kept_days", sa.Double(), server_default="7", nullable=False))
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema()) || '.'")).scalar_one()
    definer = " SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
    kept = f"(SELECT kept_days FROM {schema}audit_head) * interval '1 day'"
    parts = " || ".join(f"{schema}audit_part({value})" for value in _HASHED)
    op.execute(_CHAIN.format(definer=definer, schema=schema, parts=parts))
    op.execute(_KEEP.format(definer=definer, kept=kept))
    op.execute(_LEAVE.format(definer=definer, schema=schema))
    # A trigger is called without; who could call them otherwise would move the end of the chain.
    op.execute("REVOKE ALL ON FUNCTION chain_audit(), keep_audit(), leave_audit(timestamptz, integer) FROM PUBLIC")
    op.execute(_AS_BEFORE)


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_AS_OWNER)
    op.execute("DROP FUNCTION leave_audit(timestamptz, integer)")
    parts = " || ".join(f"audit_part({value})" for value in _HASHED)
    op.execute(_CHAIN.format(definer="", schema="", parts=parts))
    op.execute(_KEEP.format(definer="", kept="interval '7 days'"))
    op.execute("GRANT EXECUTE ON FUNCTION chain_audit(), keep_audit() TO PUBLIC")
    op.drop_column("audit_head", "kept_days")
    op.execute(_AS_BEFORE)

"""Fold the names of dependencies' circuit breakers: small letters, no default port, no dot at the end of a host.

Of two that are one now, the one that tasks already asked for stays.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "20261128_fold_dependencies"
down_revision: str | None = "20261128_add_left_out_events"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FOLDED = r"""lower(CASE
    WHEN name ~ '^[^:]+:(0*80|0*443)$' THEN rtrim(split_part(name, ':', 1), '.')
    WHEN name ~ '^[^:]+:[0-9]+$' THEN rtrim(split_part(name, ':', 1), '.') || ':' || split_part(name, ':', 2)::numeric
    ELSE rtrim(name, '.') END)"""


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"""
        DELETE FROM breaker b USING (
            SELECT name, row_number() OVER (PARTITION BY {_FOLDED} ORDER BY name <> {_FOLDED}, updated_at DESC) AS place
            FROM breaker WHERE scope = 'dependency'
        ) AS one WHERE b.scope = 'dependency' AND b.name = one.name AND one.place > 1
    """)
    for table in ("breaker", "breaker_transition"):
        op.execute(f"UPDATE {table} SET name = {_FOLDED} WHERE scope = 'dependency' AND name <> {_FOLDED}")


def downgrade() -> None:
    """What was true before: a folded name is one that could be given then, too."""

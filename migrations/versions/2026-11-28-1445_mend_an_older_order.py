"""Mend a database that was at the alerts before circuit breakers could hold tasks, which came to stand below them: it
never ran that revision.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "20261128_mend_an_older_order"
down_revision: str | None = "20261126_index_held_types"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true; nothing changes where it is true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("task_live", "task"):
        op.execute(f"""
            ALTER TABLE {table} ADD COLUMN IF NOT EXISTS dependencies text[],
                ADD COLUMN IF NOT EXISTS held_seconds double precision NOT NULL DEFAULT 0
        """)
    op.execute("""
        ALTER TABLE task_live ADD COLUMN IF NOT EXISTS held_at timestamp with time zone,
            ADD COLUMN IF NOT EXISTS held_wait_seconds double precision NOT NULL DEFAULT 0
    """)
    op.execute("""
        CREATE INDEX IF NOT EXISTS ix_task_live_held_by ON task_live (held_reason, priority DESC, due_at, id)
        WHERE place = 'held'
    """)
    op.execute("CREATE INDEX IF NOT EXISTS ix_breaker_not_closed ON breaker (scope, name) WHERE seen <> 'closed'")


def downgrade() -> None:
    """What was true before: the revision that was left out takes away what it would have added."""

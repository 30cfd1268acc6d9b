"""Find ended tasks by the name of their worker, whichever of its lives they ran in.

A worker is named by its node and a part that is drawn at its start. What lists look up had the whole of it. As with the
index before, days of up to 32 MB have the new one at once, and ``python -m pointsman_service index`` builds the others.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_worker_names"
down_revision: str | None = "20261129_acts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = "worker"
_AFTER = "split_part(worker, '#', 1)"
_FACETS = (
    "array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),"
    " hashtext('w' || {worker}), hashtext('e' || error_type), hashtext('g' || CAST(error_group AS text)),"
    " NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)], NULL)"
)
_SMALL_BYTES = 32 * 1024 * 1024
_DAYS = sa.text("""
    SELECT c.relname, pg_relation_size(c.oid) AS bytes FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'task'::regclass ORDER BY c.relname
""")


def upgrade() -> None:
    """What becomes true."""
    _index(_AFTER)


def downgrade() -> None:
    """What was true before."""
    _index(_BEFORE)


def _index(worker: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    definition = (
        f"USING gin (({_FACETS.format(worker=worker)}), tags jsonb_path_ops) WITH (gin_pending_list_limit = 1024)"
    )
    op.execute("DROP INDEX ix_task_facets")
    # Not valid before each day has its own; what is made from now on has it at once.
    op.execute(f"CREATE INDEX ix_task_facets ON ONLY task {definition}")
    for day in op.get_bind().execute(_DAYS).all():
        # One whose building was cut off belongs to no index, and is in the way.
        op.execute(f"DROP INDEX IF EXISTS {day.relname}_facets")
        if day.bytes <= _SMALL_BYTES:
            op.execute(f"CREATE INDEX {day.relname}_facets ON {day.relname} {definition}")
            op.execute(f"ALTER INDEX ix_task_facets ATTACH PARTITION {day.relname}_facets")

"""Index ended tasks by their finish and by what lists are narrowed to, and unfinished ones by tags and, of those that
sleep, by id.

An index of ``task`` is one on every day of it, and PostgreSQL builds none of a partitioned table beside its writers:
here it is made for days of up to 32 MB, in a second or two each. ``python -m pointsman_service index`` builds the
others, without stopping anybody.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_index_lists"
down_revision: str | None = "20261129_hours_and_days"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FACETS = (
    "array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),"
    " hashtext('w' || worker), hashtext('e' || error_type), hashtext('g' || CAST(error_group AS text)),"
    " NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)], NULL)"
)
_ENDED = {
    "finished_at": "USING btree (finished_at, id)",
    "not_succeeded_finished_at": "USING btree (state, finished_at, id) WHERE state <> 'succeeded'",
    "facets": f"USING gin (({_FACETS}), tags jsonb_path_ops) WITH (gin_pending_list_limit = 1024)",
}
_SMALL_BYTES = 32 * 1024 * 1024
_DAYS = sa.text("""
    SELECT c.relname, pg_relation_size(c.oid) AS bytes FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'task'::regclass ORDER BY c.relname
""")


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    days = op.get_bind().execute(_DAYS).all()
    for name, definition in _ENDED.items():
        # Not valid before each day has its own; what is made from now on has it at once.
        op.execute(f"CREATE INDEX ix_task_{name} ON ONLY task {definition}")
        for day in days:
            if day.bytes <= _SMALL_BYTES:
                op.execute(f"CREATE INDEX {day.relname}_{name} ON {day.relname} {definition}")
                op.execute(f"ALTER INDEX ix_task_{name} ATTACH PARTITION {day.relname}_{name}")
    op.create_index("ix_task_live_asleep_id", "task_live", ["id"], postgresql_where=sa.text("place = 'asleep'"))
    op.create_index(
        "ix_task_live_tags",
        "task_live",
        ["tags"],
        postgresql_using="gin",
        postgresql_ops={"tags": "jsonb_path_ops"},
        postgresql_with={"gin_pending_list_limit": "1024"},
        postgresql_where=sa.text("tags IS NOT NULL"),
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_task_live_tags", table_name="task_live")
    op.drop_index("ix_task_live_asleep_id", table_name="task_live")
    for name in _ENDED:
        op.drop_index(f"ix_task_{name}", table_name="task")

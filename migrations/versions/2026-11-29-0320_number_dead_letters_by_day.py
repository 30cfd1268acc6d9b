"""Keep how many dead letters failed on a day beside how many did within an hour.

A trigger adds to it whatever is added to the hours, so that the release before, which knows no days, does it too.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_dead_letter_days"
down_revision: str | None = "20261129_count_predictions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KIND = "task_type, error_type, queue"
_DAY = "date_trunc('day', hour, 'UTC')"
# The transition tables of another operation are not there: its statement is not planned then.
_ADD = f"""
    CREATE FUNCTION dead_letter_days() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            TRUNCATE dead_letter_day;
        ELSIF TG_OP = 'INSERT' THEN
            INSERT INTO dead_letter_day AS known ({_KIND}, day, tasks)
            SELECT {_KIND}, {_DAY}, sum(tasks) FROM added WHERE hour > '-infinity'
            GROUP BY {_KIND}, {_DAY} ORDER BY {_KIND}, {_DAY}
            ON CONFLICT ({_KIND}, day) DO UPDATE SET tasks = known.tasks + excluded.tasks;
        ELSE
            INSERT INTO dead_letter_day AS known ({_KIND}, day, tasks)
            SELECT {_KIND}, {_DAY}, sum(tasks) FROM (
                SELECT {_KIND}, hour, tasks FROM added UNION ALL SELECT {_KIND}, hour, -tasks FROM taken
            ) AS moved WHERE hour > '-infinity'
            GROUP BY {_KIND}, {_DAY} HAVING sum(tasks) <> 0 ORDER BY {_KIND}, {_DAY}
            ON CONFLICT ({_KIND}, day) DO UPDATE SET tasks = known.tasks + excluded.tasks;
        END IF;
        RETURN NULL;
    END $$
"""
_GUARDS = (
    "INSERT ON dead_letter_count REFERENCING NEW TABLE AS added",
    "UPDATE ON dead_letter_count REFERENCING NEW TABLE AS added OLD TABLE AS taken",
    "TRUNCATE ON dead_letter_count",
)


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "dead_letter_day",
        sa.Column("task_type", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_type", "error_type", "queue", "day", name=op.f("pk_dead_letter_day")),
    )
    op.execute(_ADD)
    for guard in _GUARDS:
        name = guard.partition(" ")[0].lower()
        op.execute(f"CREATE TRIGGER days_{name} AFTER {guard} FOR EACH STATEMENT EXECUTE FUNCTION dead_letter_days()")
    # Nobody adds to the hours meanwhile: the triggers have locked them.
    op.execute(
        f"INSERT INTO dead_letter_day ({_KIND}, day, tasks) SELECT {_KIND}, {_DAY}, sum(tasks) FROM dead_letter_count"
        f" WHERE hour > '-infinity' GROUP BY {_KIND}, {_DAY}"
    )


def downgrade() -> None:
    """What was true before."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for guard in _GUARDS:
        op.execute(f"DROP TRIGGER days_{guard.partition(' ')[0].lower()} ON dead_letter_count")
    op.execute("DROP FUNCTION dead_letter_days()")
    op.drop_table("dead_letter_day")

"""Write down what changes while somebody listens.

Nothing is written until a listener says so. Processes of the release before write nothing: what they change, a listener
to one task sees some seconds later.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261129_tell_listeners"
down_revision: str | None = "20261129_at_most"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "live_listening",
        sa.Column("id", sa.SmallInteger(), server_default=sa.text("1"), autoincrement=False, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_live_listening_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_live_listening")),
    )
    op.create_table(
        "live_change",
        sa.Column(
            "transaction",
            sa.BigInteger(),
            server_default=sa.text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)"),
            nullable=False,
        ),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("topic", sa.Text(), server_default=sa.text("'tasks'"), nullable=False),
        sa.Column("task_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.PrimaryKeyConstraint("transaction", "id", name=op.f("pk_live_change")),
    )


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("live_change")
    op.drop_table("live_listening")

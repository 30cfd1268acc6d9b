"""Let an act on many tasks be walked through: how far it is, what it has cancelled, and what an undo has put back."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_acts_walk"
down_revision: str | None = "20261128_tell_by_cause"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column in (
        sa.Column("kind", sa.Text(), server_default=sa.text("'replay'"), nullable=False),
        sa.Column("stage", sa.Text(), server_default=sa.text("'done'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("submitted_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("most", sa.Integer(), nullable=True),
        sa.Column("grace_seconds", sa.REAL(), nullable=True),
        sa.Column("walked_to", sa.Uuid(), nullable=True),
        sa.Column("looked_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unended", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("put_back", sa.Integer(), server_default=sa.text("0"), nullable=False),
    ):
        op.add_column("replay", column)
    op.create_index(
        "ix_replay_open", "replay", ["id"], unique=False, postgresql_where=sa.text("stage IN ('walking', 'undoing')")
    )
    op.create_table(
        "cancelled_task",
        sa.Column("act_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("act_id", "task_id", name=op.f("pk_cancelled_task")),
    )


def downgrade() -> None:
    """What was true before: acts by a filter are not known, and what they ran again was retried alone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("cancelled_task")
    op.execute(
        "UPDATE replayed_task SET replay_id = NULL WHERE replay_id IN (SELECT id FROM replay WHERE kind <> 'replay')"
    )
    op.execute("DELETE FROM replay WHERE kind <> 'replay'")
    op.drop_index("ix_replay_open", table_name="replay")
    for name in (
        "kind",
        "stage",
        "reason",
        "submitted_before",
        "most",
        "grace_seconds",
        "walked_to",
        "looked_at",
        "unended",
        "put_back",
    ):
        op.drop_column("replay", name)

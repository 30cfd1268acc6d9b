"""Take as limits of a key only numbers that can be one."""

from collections.abc import Sequence

from alembic import op

revision: str = "20261130_bound_limits"
down_revision: str | None = "20261129_refused_calls"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As the API takes them; NaN is between no two numbers.
_BOUNDS = {
    "burst": "burst BETWEEN 1 AND 10000000",
    "quota": "quota BETWEEN 1 AND 1000000000",
    "weight": "weight BETWEEN 0.1 AND 10",
}


def upgrade() -> None:
    """What becomes true."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, bounds in _BOUNDS.items():
        # Whatever else somebody wrote by hand says nothing.
        op.execute(f"UPDATE api_key SET {name} = NULL WHERE NOT ({bounds})")
        op.create_check_constraint(op.f(f"ck_api_key_{name}"), "api_key", bounds)


def downgrade() -> None:
    """How it is undone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in _BOUNDS:
        op.drop_constraint(op.f(f"ck_api_key_{name}"), "api_key")

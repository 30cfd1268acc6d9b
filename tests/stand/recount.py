"""The counters of every hour and every day, counted again from the rows."""

from typing import Any, Protocol

from tests.stand.stack import Row
from tests.stand.waiting import until

_FOLD_SECONDS = 30.0
_NAMES = (
    "submitted", "executions", "succeeded", "failed", "cancelled", "expired", "interrupted", "rescued", "held",
    "cancelled_running", "native", "predicted", "kept", "kept_p50",
)  # fmt: skip
_MOVED = """
    SELECT submitted_at AS at, 'submitted' AS name, 1 AS n FROM task
    UNION ALL SELECT finished_at, state, 1 FROM task
    UNION ALL SELECT finished_at, 'executions', 1 FROM task WHERE state = 'succeeded'
    UNION ALL SELECT finished_at, 'held', 1 FROM task WHERE held_seconds > 0
    UNION ALL SELECT finished_at, 'cancelled_running', 1 FROM task WHERE state = 'cancelled' AND run_seconds IS NOT NULL
    UNION ALL SELECT finished_at, 'executions', 1 FROM task_attempt WHERE error_type NOT IN ('Interrupted', 'Held')
    UNION ALL SELECT finished_at, 'interrupted', 1 FROM task_attempt WHERE error_type IN ('Interrupted', 'Held')
    UNION ALL SELECT finished_at, 'rescued', 1 FROM task_attempt WHERE error_type = 'Interrupted'
    UNION ALL SELECT finished_at, 'rescued', -1 FROM task
        WHERE state IN ('failed', 'cancelled') AND error_type = 'Interrupted' AND run_seconds IS NOT NULL
    UNION ALL SELECT finished_at, 'native', 1 FROM native_run
    UNION ALL SELECT finished_at, 'executions', 1 FROM native_run
    UNION ALL SELECT finished_at, 'succeeded', 1 FROM native_run WHERE state = 'SUCCESS'
    UNION ALL SELECT finished_at, 'failed', 1 FROM native_run WHERE state = 'FAILURE'
    UNION ALL SELECT coalesce(late_at, settled_at), name, 1 FROM prediction CROSS JOIN LATERAL (VALUES
        ('predicted', late_at IS NOT NULL OR waited_seconds IS NOT NULL),
        ('kept', late_at IS NULL AND waited_seconds <= p95_seconds),
        ('kept_p50', late_at IS NULL AND waited_seconds <= p50_seconds)) AS counted (name, counts) WHERE counts
"""


class _Database(Protocol):
    async def rows(self, sql: str, **parameters: Any) -> list[Row]: ...


async def differences(database: _Database) -> list[str]:
    """Every counter of an hour or a day that is not what the rows of tasks say. For a drained stack that folds."""

    async def folded() -> bool:
        (left,) = await database.rows(
            "SELECT (SELECT count(*) FROM task_metrics_delta) AS deltas,"
            " (SELECT coalesce(carried_to > '1970-01-01', true) FROM task_metrics_kept) AS is_carrying"
        )
        assert not left["deltas"]
        assert not left["is_carrying"]
        return True

    await until(folded, "everything to be folded into hours and days", _FOLD_SECONDS)
    return [line for unit in ("hour", "day") for line in await _of(database, unit)]


async def _of(database: _Database, unit: str) -> list[str]:
    counted = " UNION ALL ".join(
        f"SELECT {unit} AS at, '{name}' AS name, sum({name}) AS n FROM task_metrics_{unit} GROUP BY 1"
        for name in _NAMES
    )
    by_caller = await database.rows(f"""
        SELECT coalesce(said.at, there.at) AS at, coalesce(said.name, there.name) AS name, said.n AS said, there.n
        FROM (SELECT {unit} AS at, name, submitted AS n FROM task_metrics_by_{unit}
            WHERE grouped_by = 'caller' AND submitted > 0) AS said
        FULL JOIN (SELECT date_trunc('{unit}', submitted_at, 'UTC') AS at, caller AS name, count(*) AS n FROM task
            GROUP BY 1, 2) AS there USING (at, name)
        WHERE said.n IS DISTINCT FROM there.n
    """)
    rows = await database.rows(f"""
        SELECT at, name, coalesce(said.n, 0) AS said, coalesce(there.n, 0) AS n FROM ({counted}) AS said
        FULL JOIN (SELECT date_trunc('{unit}', at, 'UTC') AS at, name, sum(n) AS n FROM ({_MOVED}) AS moved
            GROUP BY 1, 2) AS there USING (at, name)
        WHERE coalesce(said.n, 0) <> coalesce(there.n, 0)
    """)
    wrong = (*rows, *by_caller)
    return [f"{unit} {row['at']}, {row['name']}: counted {row['said']}, in rows {row['n']}" for row in wrong]

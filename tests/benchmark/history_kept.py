"""What thirty days leave behind beside tasks and their counters: dead letters, error groups, what was seen of queues
and workers, predictions and what came of them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # ships no types

from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.failures.fingerprint import VERSION
from pointsman_service.store.metrics.history import QUEUE_FIGURES, STEPS, WORKER_FIGURES
from pointsman_service.store.upkeep.partitions import lowest_id
from tests.benchmark.history_rows import Group

_MINUTE_DAYS = 3
"""So long minutes of queues and workers are kept."""
_SAMPLES_A_MINUTE = 30
_PREDICTION_DAYS = 7
_PREDICTION_MINUTE_DAYS = 2
_NODES = 16
_ANALYZED = (
    "task_attempt", "task_metrics", "task_metrics_hour", "task_metrics_day", "task_metrics_by_minute",
    "task_metrics_by_hour", "task_metrics_by_day", "dead_letter", "dead_letter_count", "dead_letter_day",
    "error_count", "error_group", "queue_metrics", "worker_metrics", "prediction", "prediction_metrics",
)  # fmt: skip
# Meanwhile nobody puts them right.
_ALONE = ("SELECT FROM dead_letter_walk FOR UPDATE", "TRUNCATE dead_letter, dead_letter_count, dead_letter_delta")
_DEAD_LETTERS = """
    INSERT INTO dead_letter (task_id, task_type, error_type, queue, failed_at)
    SELECT id, task_type, coalesce(error_type, ''), queue, finished_at FROM task WHERE state = 'failed' ORDER BY id
"""
_DEAD_LETTER_COUNTS = """
    INSERT INTO dead_letter_count (task_type, error_type, queue, hour, tasks)
    SELECT d.task_type, d.error_type, d.queue, step.hour, count(*) FROM dead_letter d
        CROSS JOIN LATERAL (VALUES (date_trunc('hour', d.failed_at, 'UTC')), ('-infinity'::timestamptz)) AS step (hour)
    GROUP BY 1, 2, 3, 4
"""
_GROUPS = """
    INSERT INTO error_group (id, version, task_type, error_type, message, first_seen_at, last_seen_at, changed_at,
        occurrences, tasks, example_task_id, example_attempt, example_message, example_traceback, recent_task_ids)
    SELECT $1::uuid, $2::smallint, $3::text, $4::text, $5::text, min(since), least(max(since) + interval '1 day',
        $8::timestamptz), min(since), sum(occurrences), sum(tasks), $6::uuid, 1, $7::text, '', ARRAY[$6::uuid]
    FROM error_count WHERE error_group = $1::uuid AND step_seconds = 86400 HAVING count(*) > 0
"""
# One in five steps is quiet; the others differ by name, figure and step.
_SEEN = """
    INSERT INTO {table} ({of}, step_seconds, at, figure, samples, total, low, high, last, sampled_at)
    SELECT n.name, s.step, at, f.figure, s.step / 60 * $5::int, v.value * s.step / 60 * $5::int, v.value / 2,
        v.value * 2, v.value, least(at + s.step * interval '1 second', $1::timestamptz)
    FROM unnest($2::int[], $3::int[]) AS s (step, days)
    CROSS JOIN LATERAL generate_series(
        date_bin(s.step * interval '1 second', $1::timestamptz - s.days * interval '1 day', '2000-01-01 00:00+00'),
        $1::timestamptz, s.step * interval '1 second') AS at
    CROSS JOIN unnest($4::text[]) AS f (figure) CROSS JOIN unnest($6::text[]) AS n (name)
    CROSS JOIN LATERAL (SELECT greatest(0, (hashtextextended(n.name || f.figure, extract(epoch FROM at)::bigint / 60)
        & 1023) - 204)::float8 / 10 AS value) AS v
    ORDER BY s.step, at, f.figure, n.name ON CONFLICT DO NOTHING
"""
# A sample of the tasks, about one a second; one in twenty waited longer than was told.
_PREDICTIONS = """
    INSERT INTO prediction (task_id, queue, priority, submitted_at, p50_seconds, p95_seconds, basis, kind,
        expected_seconds, flow_p50_seconds, flow_p95_seconds, history_p50_seconds, history_p95_seconds, settled_at,
        waited_seconds)
    SELECT id, queue, priority, submitted_at, told, told * 3, 'flow', 1, told, told, told * 3, told, told * 3,
        started_at, queue_wait_seconds
    FROM (SELECT *, greatest(queue_wait_seconds * (0.35 + (hashtext(id::text) & 1023) / 1024.0), 0.001) AS told
        FROM task WHERE id >= $1::uuid AND started_at IS NOT NULL AND (hashtext(id::text) & 65535) % $2::int = 0) AS t
    ORDER BY id
"""
_OUTCOMES = """
    INSERT INTO prediction_metrics (queue, span_seconds, at, compared, within_p50, within_p95, error_buckets,
        error_counts)
    SELECT q.queue, s.span, at, s.span, s.span / 2, s.span * 95 / 100,
        ARRAY(SELECT generate_series(-40, -20 + extract(minute FROM at)::int % 10)::smallint),
        ARRAY(SELECT s.span / 20 FROM generate_series(-40, -20 + extract(minute FROM at)::int % 10))
    FROM unnest($2::int[], $3::int[]) AS s (span, days)
    CROSS JOIN LATERAL generate_series(
        date_bin(s.span * interval '1 second', $1::timestamptz - s.days * interval '1 day', '2000-01-01 00:00+00'),
        $1::timestamptz, s.span * interval '1 second') AS at
    CROSS JOIN unnest($4::text[]) AS q (queue) ON CONFLICT DO NOTHING
"""
# Whose beat was seen an hour from now is not missed while the bench runs, and takes no task.
_WORKERS = """
    INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)
    SELECT 'bench-' || q.queue || i, q.queue || '@host-' || i, q.queue, ARRAY[q.queue], 4, i, 'host-' || i, 1, now(),
        now() + interval '1 hour'
    FROM unnest($1::text[]) AS q (queue) CROSS JOIN generate_series(0, $2::int - 1) AS i
"""


async def settle(dsn: str, groups: Mapping[str, Group], until: datetime, days: int) -> None:
    """All of that, and what autovacuum would have done in so long."""
    db = await asyncpg.connect(dsn, server_settings={"synchronous_commit": "off", "work_mem": "256MB"})
    try:
        async with db.transaction():
            for words in (*_ALONE, _DEAD_LETTERS, _DEAD_LETTER_COUNTS):
                await db.execute(words, timeout=None)
        await _keep_groups(db, groups, until)
        await _keep_seen(db, until, days)
        await _keep_predictions(db, until, days)
        for table in _ANALYZED:
            await db.execute(f"VACUUM ANALYZE {table}", timeout=None)
        await db.execute("CHECKPOINT", timeout=None)
    finally:
        await db.close()


async def _keep_groups(db: "asyncpg.Connection[asyncpg.Record]", groups: Mapping[str, Group], until: datetime) -> None:
    """The groups of errors, with the sums of their days; nobody has dealt with them."""
    await db.execute("ANALYZE error_count")
    await db.executemany(
        _GROUPS,
        [
            (UUID(id_), VERSION, one.task_type, one.error_type, one.message, UUID(one.task_id), one.example, until)
            for id_, one in groups.items()
        ],
    )


async def _keep_seen(db: "asyncpg.Connection[asyncpg.Record]", until: datetime, days: int) -> None:
    queues = [queue.name for queue in DEFAULT_TOPOLOGY.queues]
    spans = [_MINUTE_DAYS, days, days]
    for table, of, figures in (("queue_metrics", "queue", QUEUE_FIGURES), ("worker_metrics", "pool", WORKER_FIGURES)):
        seen = _SEEN.format(table=table, of=of)
        await db.execute(seen, until, list(STEPS), spans, list(figures), _SAMPLES_A_MINUTE, queues, timeout=None)
    await db.execute(_WORKERS, queues, _NODES)


async def _keep_predictions(db: "asyncpg.Connection[asyncpg.Record]", until: datetime, days: int) -> None:
    tasks = await db.fetchval("SELECT sum(reltuples)::float8 FROM pg_class WHERE relname LIKE 'task_day_%'")
    one_of = max(1, round((tasks or 0.0) / (days * 86_400)))
    await db.execute(_PREDICTIONS, lowest_id(until - timedelta(days=_PREDICTION_DAYS)), one_of, timeout=None)
    queues = [queue.name for queue in DEFAULT_TOPOLOGY.queues]
    await db.execute(_OUTCOMES, until, [60, 3600], [_PREDICTION_MINUTE_DAYS, days], queues, timeout=None)

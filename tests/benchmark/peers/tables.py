"""Where the peers keep their tasks: for counting and filling, without importing them."""

NAIVE = "submitted_task"
PROCRASTINATE = "procrastinate_jobs"
PROCRASTINATE_FILL = f"""
    INSERT INTO {PROCRASTINATE} (queue_name, task_name, args)
    SELECT 'default', 'noop', $1::jsonb FROM generate_series(1, $2)
"""
"""What so many calls of ``defer_async`` write."""

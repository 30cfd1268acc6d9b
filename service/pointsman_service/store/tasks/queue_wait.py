"""The queue wait of a row ``t``, in SQL: from when an attempt was due to its start, without the time it was held."""


def queue_wait(start: str) -> str:
    """SQL: the wait of an attempt that began at a moment, in seconds; NULL when that is NULL."""
    # greatest() passes over NULL, so a task that never started needs the CASE.
    return (
        f"CASE WHEN {start} IS NOT NULL"
        f" THEN greatest(0, extract(epoch FROM {start} - t.due_at) - t.held_wait_seconds)::float8 END"
    )


SLA_OF_THE_FIRST = """sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
        THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)"""
"""SQL: what changes in a row when its attempt ends and the task does not: the SLA is that of the first attempt."""

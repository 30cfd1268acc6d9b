"""What must be true after every fault, whatever was done."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from pointsman_contract import keys
from pointsman_contract.queues import STEPS, list_key
from tests.stand.stack import QUEUES, Row, Stack
from tests.stand.waiting import until

DRAIN_SECONDS = 90.0


async def drain(stack: Stack) -> None:
    """Return once nothing is left to do anywhere, with nobody's help."""

    async def nothing_left() -> bool:
        left = await leftovers(stack)
        assert not left, left
        return True

    await until(nothing_left, "everything to drain", DRAIN_SECONDS)


async def leftovers(stack: Stack) -> dict[str, object]:
    """What is still on its way, in the database and in Redis."""
    (left,) = await stack.rows(
        "SELECT (SELECT count(*) FROM task_live) AS unfinished, (SELECT count(*) FROM outbox) AS outbox,"
        " (SELECT max(epoch) FROM broker_epoch) AS epoch"
    )
    epoch = left.pop("epoch")
    found: dict[str, object] = left
    with stack.redis() as connection:
        control = connection.hgetall(keys.CONTROL)
        found["closed epoch"] = int((control.get("epoch"), control.get("open")) != (str(epoch), "1"))
        found["unrecorded events"] = connection.xlen(keys.events(epoch))
        found["streams of earlier epochs"] = len(
            set(connection.scan_iter(f"{keys.EVENTS_PREFIX}*", count=1000)) - {keys.events(epoch)}
        )
        found["messages"] = sum(connection.llen(list_key(queue, step)) for queue in QUEUES for step in STEPS)
        found["unacked"] = connection.hlen("unacked")
        claims = list(connection.scan_iter(f"{keys.CLAIM_PREFIX}*", count=1000))
        found["running claims"] = [claim for claim in claims if connection.hget(claim, "state") == "running"]
    return {name: value for name, value in found.items() if value}


async def check(stack: Stack, accepted: Iterable[str]) -> None:
    """Every accepted task ended exactly once, counters equal rows. For a drained stack."""
    accepted = set(accepted)
    ended = Counter(
        str(row["id"]) for row in await stack.rows("SELECT id FROM task UNION ALL SELECT id FROM task_live")
    )
    lost = accepted - ended.keys()
    assert not lost, f"{len(lost)} of {len(accepted)} accepted tasks are lost: {sorted(lost)[:5]}"
    doubled = {task_id: times for task_id, times in ended.items() if times > 1}
    assert not doubled, f"tasks with more than one row: {doubled}"
    assert await counted(stack) == await in_rows(stack)
    kept = await backlog(stack)
    assert not kept, f"nothing is left, and the backlog says otherwise: {kept}"


async def backlog(stack: Stack) -> list[Row]:
    """What is kept of the backlog and is not 0."""
    return await stack.rows("""
        SELECT queue, state, held_reason, sum(tasks)::int AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta
        ) AS numbers GROUP BY queue, state, held_reason HAVING sum(tasks) <> 0
    """)


async def counted(stack: Stack) -> dict[str, int]:
    """What TaskMetrics say."""
    found = await stack.counters()
    names = (
        "submitted", "succeeded", "failed", "cancelled", "expired", "executions", "retried", "interrupted", "sla_met",
        "sla_missed", "native",
    )  # fmt: skip
    return {name: found[name] for name in names}


class _Database(Protocol):
    async def rows(self, sql: str, **parameters: Any) -> list[Row]: ...


async def in_rows(stack: _Database) -> dict[str, int]:
    """The same figures from the rows of tasks and of plain Celery runs."""
    (found,) = await stack.rows("""
        WITH ended AS (SELECT count(*) AS n FROM task_attempt WHERE error_type NOT IN ('Interrupted', 'Held'))
        SELECT count(*)::int AS submitted,
            count(*) FILTER (WHERE state = 'succeeded')::int AS succeeded,
            count(*) FILTER (WHERE state = 'failed')::int AS failed,
            count(*) FILTER (WHERE state = 'cancelled')::int AS cancelled,
            count(*) FILTER (WHERE state = 'expired')::int AS expired,
            (count(*) FILTER (WHERE state = 'succeeded') + (SELECT n FROM ended))::int AS executions,
            ((SELECT n FROM ended) - count(*) FILTER (
                WHERE (state = 'failed' OR state = 'cancelled' AND run_seconds IS NOT NULL)
                    AND error_type NOT IN ('Interrupted', 'BreakerOpen'))
            )::int AS retried,
            (SELECT count(*) FROM task_attempt WHERE error_type IN ('Interrupted', 'Held'))::int AS interrupted,
            count(*) FILTER (WHERE sla_met)::int AS sla_met,
            count(*) FILTER (WHERE NOT sla_met)::int AS sla_missed
        FROM task
    """)
    (native,) = await stack.rows("""
        SELECT count(*)::int AS native, count(*) FILTER (WHERE state = 'SUCCESS')::int AS succeeded,
            count(*) FILTER (WHERE state = 'FAILURE')::int AS failed,
            count(*) FILTER (WHERE state = 'RETRY')::int AS retried
        FROM native_run
    """)
    for name in ("succeeded", "failed", "retried"):
        found[name] += native[name]
    found["executions"] += native["native"]
    return {**found, "native": native["native"]}


def more_than_once(stack: Stack, among: Iterable[str]) -> dict[str, int]:
    """Tasks that left their effect more than once."""
    effects = stack.ledger.effects()
    return {task_id: effects[task_id] for task_id in among if effects[task_id] > 1}


def never_ran(stack: Stack, among: Iterable[str]) -> set[str]:
    """Tasks that left no effect."""
    return set(among) - stack.ledger.effects().keys()

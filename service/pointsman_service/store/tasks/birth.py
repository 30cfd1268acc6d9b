"""The birth-door: every task becomes a row of ``task_live`` here, whoever asks for it, with its outbox row and its
counters.

A task is born in the one statement that also decides whether it is (a key that is taken, a task that was run again
already), so the door is a part of SQL and not a call: nobody is told of a birth, as that would cost each commit of
submissions two round trips more. Who needs to know adds an expression here.
"""

from pointsman_service.store.changes import told
from pointsman_service.store.columns import SUBMITTED

_BIRTH = """
, stored AS (
    INSERT INTO task_live ({columns}, submitted_at, due_at, dispatch, state, place)
    SELECT {columns}, now(), due_at, CASE WHEN sent_epoch IS NULL THEN 0 ELSE 1 END,
        CASE WHEN due_at > now() THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN due_at > now() THEN 'asleep' WHEN sent_epoch IS NULL THEN 'waiting' ELSE 'sent' END
    FROM (
        SELECT *, greatest(now(), {asked}) AS due_at
        FROM {source}
    ) AS due
)
, boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM {source} WHERE sent_epoch IS NOT NULL GROUP BY queue
    RETURNING id
)
, counted AS (
    INSERT INTO task_metrics_delta (task_type, queue, minute, caller, submitted, born_waiting, born_asleep)
    SELECT task_type, queue, date_trunc('minute', now()), caller, count(*),
        count(*) FILTER (WHERE sent_epoch IS NULL AND ({asked} > now()) IS NOT TRUE),
        count(*) FILTER (WHERE {asked} > now())
    FROM {source} GROUP BY task_type, queue, caller
)
, {told}"""
_ASKED = "coalesce(scheduled_at, now() + delay_seconds * interval '1 second')"


def births_of(source: str, *more: str) -> str:
    """SQL: what follows the expressions of a WITH to make a task of each row of ``source``, one of these expressions.

    It has all columns that a submission fills (``columns.SUBMITTED``), and those that are named as ``more``. Where
    ``sent_epoch`` is not NULL the task is to be published after the commit, and ``boxed`` gives its outbox row.
    """
    return _BIRTH.format(columns=", ".join((*SUBMITTED, *more)), source=source, asked=_ASKED, told=told(source))

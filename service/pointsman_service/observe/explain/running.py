"""A task that runs, or is to end before it does."""

from datetime import timedelta

from pointsman_contract.states import TaskState
from pointsman_service.observe.explain import installation
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import Reason
from pointsman_service.observe.explain.facts import Facts, Live
from pointsman_service.observe.explain.facts_of_task import CancelFacts, RunFacts
from pointsman_service.observe.explain.reasons import reason, task_link
from pointsman_service.observe.explain.waiting import Found, lost_worker
from pointsman_service.observe.spans import ahead, moment, short_span

LONG = 2.0
"""So many times its usual p95 is long."""


def running(facts: Facts, live: Live) -> Found:
    """An attempt is under way, as far as was written down."""
    system, now = facts.system, facts.now
    late = installation.recorder(system, now)
    away = installation.broker(system, key_matters=False)
    runner = facts.runner
    if runner is not None and runner.live is False and not away:
        what = f"It ran attempt {facts.task.attempt} of this task."
        lost = lost_worker(facts, runner.node, what)
        return [*late, *installation.role(system, "reconciler", now), lost], []
    # What holds others back does not hold what runs.
    return [_running(facts, live)], [*away, *late]


def _running(facts: Facts, live: Live) -> Reason:
    task, now = facts.task, facts.now
    ran = None if task.started_at is None else max((now - task.started_at).total_seconds(), 0.0)
    limit = live.time_limit_seconds
    limit_at = None if task.started_at is None or limit is None else task.started_at + timedelta(seconds=limit)
    usual = facts.usual_p95_seconds
    said = f"Attempt {task.attempt} runs on {task.worker or 'a worker'}"
    if ran is not None and task.started_at is not None:
        said += f" since {moment(task.started_at, now)}, for {short_span(ran)}"
    if usual is None:
        said += f". How long runs of {task.task_type} usually take is not known"
    elif ran is not None and ran > LONG * usual:
        said += f": long, for the usual p95 of {task.task_type} is {short_span(usual)}"
    else:
        said += f"; the usual p95 of {task.task_type} is {short_span(usual)}"
    progress = task.progress
    said += "."
    if progress is not None and progress.current is not None:
        of = "" if progress.total is None else f" of {progress.total:g}"
        note = f" ({progress.note})" if progress.note else ""
        said += f" It says that it is at {progress.current:g}{of}{note}."
    if limit_at is not None and limit_at > now:
        said += f" Its time limit ends it {ahead(limit_at, now)}."
    return reason(
        Cause.RUNNING,
        said,
        RunFacts(
            task.attempt,
            task.worker,
            task.started_at,
            None if ran is None else round(ran, 3),
            usual,
            limit_at,
            None if progress is None else progress.current,
            None if progress is None else progress.total,
            None if progress is None else progress.note,
        ),
        task_link(facts),
        since=task.started_at,
        clears_itself=True,
        expected_at=limit_at,
        task_id=str(task.id),
    )


def cancelling(facts: Facts, live: Live) -> Found:
    """Somebody asked for its end, and it has not ended yet."""
    task, now, system = facts.task, facts.now, facts.system
    assert task.cancel_requested_at is not None
    runs = task.state is TaskState.RUNNING
    by = "its queue was purged" if task.cancel_requested_by is None else f"{task.cancel_requested_by} cancelled it"
    said = f"It is about to end: {by} at {moment(task.cancel_requested_at, now)}."
    grace = live.cancel_grace_seconds
    at = None
    if not runs:
        said += " No attempt of it starts any more."
    elif grace is None or grace == float("inf"):
        said += f" The attempt that runs on {task.worker or 'a worker'} goes on, and no other follows."
    else:
        at = task.cancel_requested_at + timedelta(seconds=grace)
        killed = f"is killed {ahead(at, now)}" if at > now else "is being killed"
        said += f" Attempt {task.attempt}, on {task.worker or 'a worker'}, was asked to end, or {killed}."
    keeps = [*installation.broker(system, key_matters=False)] if task.dispatch else []
    nobody = installation.role(system, "reconciler", now)
    return [
        *keeps,
        *installation.recorder(system, now),
        reason(
            Cause.CANCELLING,
            said,
            CancelFacts(
                task.cancel_requested_by,
                task.cancel_requested_at,
                None if grace is None or grace == float("inf") else grace,
                runs,
            ),
            task_link(facts),
            since=task.cancel_requested_at,
            clears_itself=not nobody,
            expected_at=at,
        ),
    ], nobody

"""Celery's remote control commands, where they are about managed tasks too: they do what they answer, or refuse."""

from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control as celery_control
from celery.worker.control import control_command

from pointsman.base import ManagedTask
from pointsman.errors import OptionNotHonoured
from pointsman.node.node import Node, current_node
from pointsman.node.voice import revoked
from pointsman.task_type.options import check_limit, check_rate

control: Any = celery_control
ok, nok = control.ok, control.nok
_NO_LIMIT = 1e12
"""Messages a second."""
_OF_MESSAGES = (
    "the time limits of plain Celery messages are set on this node; a task that was submitted over HTTP brings its own"
    " along: timeout_seconds, or time_limit and soft_time_limit of its task type"
)
_HARMLESS = frozenset({"enable_events", "disable_events", "heartbeat"})
_NOT_SIGNED = (
    "message_signing=require: remote control is not signed, and this node takes questions only; cancel tasks, eject"
    " workers and pause queues through the API, and stop nodes by a signal"
)


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Any:
    """Revoke task by task id (or list of ids); one that was submitted over HTTP is cancelled."""
    # Flower says 0 and 1, and the recorder takes no number for an answer.
    _cancel(maybe_list(task_id) or [], "terminate" if terminate else "revoke", kill=bool(terminate))
    return control.revoke(state, task_id, terminate, signal, **options)


@control_command(variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
def terminate(state: Any, signal: Any, task_id: Any, **options: Any) -> Any:
    """Terminate task by task id (or list of ids); one that was submitted over HTTP is cancelled."""
    return revoke(state, task_id, terminate=True, signal=signal, **options)


@control_command(
    args=[("task_name", str), ("soft", float), ("hard", float)], signature="<task_name> <soft_secs> [hard_secs]"
)
def time_limit(state: Any, task_name: Any = None, hard: Any = None, soft: Any = None, **options: Any) -> Any:
    """Tell worker(s) to modify the time limit of plain messages by task type."""
    task = state.app.tasks.get(task_name)
    try:
        check_limit("hard", hard or 0)
        check_limit("soft", soft or 0)
    except OptionNotHonoured as fault:
        return nok(str(fault))
    if isinstance(task, ManagedTask):
        hard = hard or task.time_limit
        if soft and soft >= hard:
            return nok(f"the soft time limit must be below the time limit of {hard:g} s")
    answer = control.time_limit(state, task_name, hard, soft, **options)
    if "ok" in answer:
        # Celery has built the limits into how each message is taken.
        state.consumer.update_strategies()
        return ok(_OF_MESSAGES)
    return answer


@control_command(
    args=[("task_name", str), ("rate_limit", str)], signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>"
)
def rate_limit(state: Any, task_name: str, rate_limit: Any, **options: Any) -> Any:
    """Tell worker(s) to modify the rate limit for a task by type, also of what waits for its turn."""
    try:
        check_rate(rate_limit)
    except OptionNotHonoured as fault:
        # Celery takes a negative one, and no task of the type would ever run.
        return nok(str(fault))
    buckets = state.consumer.task_buckets
    before = dict(buckets)
    answer = control.rate_limit(state, task_name, rate_limit, **options)
    new = buckets.get(task_name)
    # Celery makes each bucket anew, and what waits in the old ones goes on waiting as it did before.
    buckets.update(before)
    bucket = before.get(task_name)
    if "ok" not in answer:
        return answer
    if bucket is None or new is None:
        buckets[task_name] = new
    if bucket is not None:
        # What has an eta comes to this bucket, too.
        bucket.fill_rate = _NO_LIMIT if new is None else new.fill_rate
        state.consumer._schedule_bucket_request(bucket)
    return answer


@control_command(args=[("n", int)], signature="[N=1]")
def pool_grow(state: Any, n: int = 1, **options: Any) -> Any:
    """Grow pool by n processes/threads."""
    fault = _no_number(n) or _too_many(current_node(), _processes(state) + n)
    if fault is not None:
        return nok(fault)
    return control.pool_grow(state, n, **options)


@control_command(args=[("n", int)], signature="[N=1]")
def pool_shrink(state: Any, n: int = 1, **options: Any) -> Any:
    """Shrink pool by n processes/threads."""
    fault = _no_number(n)
    if fault is not None:
        return nok(fault)
    if _processes(state) - n < 1:
        return nok("a node without processes would keep what it fetches: to stop it use shutdown, or cancel_consumer")
    return control.pool_shrink(state, n, **options)


@control_command(args=[("max", int), ("min", int)], signature="[max [min]]")
def autoscale(state: Any, max: int | None = None, min: int | None = None, **options: Any) -> Any:
    """Modify autoscale settings."""
    fault = None if max is None else _too_many(current_node(), max)
    return nok(fault) if fault is not None else control.autoscale(state, max, min, **options)


def look_only() -> None:
    """Refuse every command of this process that changes anything: nobody signs them, and whoever can write to Redis can
    send them.
    """
    for name, about in control.Panel.meta.items():
        if about.type == "control" and name not in _HARMLESS:
            control.Panel.data[name] = _refuse


def _refuse(_state: Any, **_: Any) -> Any:
    return nok(_NOT_SIGNED)


def _cancel(tasks: list[Any], command: str, *, kill: bool) -> None:
    node = current_node()
    by = f"celery control {command} on {node.name}"
    notes = [note for task in tasks if (note := revoked(task, by, kill=kill)) is not None]
    if notes and node.voice is not None:
        node.voice.append(*notes)


def _no_number(n: Any) -> str | None:
    is_number = isinstance(n, int) and not isinstance(n, bool) and n >= 1
    return None if is_number else f"n={n!r} is not a number of processes, 1 or more"


def _processes(state: Any) -> int:
    found: int = state.consumer.pool.num_processes
    return found


def _too_many(node: Node, processes: int) -> str | None:
    most = node.slots.most_children
    return None if processes <= most else f"this node was started for at most {most} processes: start another node"

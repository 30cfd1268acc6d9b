"""Tasks by the command line: submit, get, list, cancel, retry."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice

from pointsman_client.calling.results import result_of
from pointsman_client.commands.exits import Exit
from pointsman_client.commands.given import arguments_of, tags_of
from pointsman_client.commands.voice import Voice, said_of
from pointsman_client.errors import ClientError, NoResult
from pointsman_client.model import Model
from pointsman_client.models import Task
from pointsman_client.sync.client import Client


def submit(client: Client, given: Namespace, voice: Voice) -> Exit:
    """One task; with ``--wait`` its end, too."""
    args, kwargs = arguments_of(given.arguments)
    tasks = client.tasks.with_options(
        queue=given.queue,
        priority=given.priority,
        delay_seconds=given.delay,
        expires_at=given.expires_at,
        max_attempts=given.max_attempts,
        tags=tags_of(given.tag),
        idempotency_key=given.key,
    )
    handle = tasks.submit(given.task_type, *args, **kwargs)
    task = handle.task if given.wait is None else handle.wait(given.wait)
    assert task is not None
    return _told(task, voice, ended=given.wait is not None)


def get(client: Client, given: Namespace, voice: Voice) -> Exit:
    """One task as it is; with ``--wait`` when it has ended."""
    task = client.tasks.get(given.id) if given.wait is None else client.tasks.end_of(given.id, given.wait)
    return _told(task, voice, ended=given.wait is not None)


def list_(client: Client, given: Namespace, voice: Voice) -> Exit:
    """The newest that meet a filter."""
    found = client.tasks.each(
        state=given.state, queue=given.queue, task_type=given.type, tag=given.tag, error_type=given.error,
        limit=min(given.limit, 100),
    )  # fmt: skip
    tasks = islice(found, given.limit)
    if voice.as_json:
        for task in tasks:
            voice.document(task)
        return Exit.WELL
    rows = [(task.id, task.task_type, task.queue, task.state, task.attempt, task.submitted_at) for task in tasks]
    voice.table(("ID", "TYPE", "QUEUE", "STATE", "ATTEMPT", "SUBMITTED (UTC)"), rows)
    return Exit.WELL


def cancel(client: Client, given: Namespace, voice: Voice) -> Exit:
    """Some, by their ids; the others are cancelled though one is refused."""

    def one(task_id: str) -> tuple[Model, str]:
        done = client.tasks.cancel(task_id, reason=given.reason, end_running=given.end_running or None)
        return done, f"{task_id} is {done.state}" + ("" if done.state == "cancelled" else ", and is to be cancelled")

    return _each(given.ids, one, voice)


def retry(client: Client, given: Namespace, voice: Voice) -> Exit:
    """Ended ones run again, each as a new task."""

    def one(task_id: str) -> tuple[Model, str]:
        new = client.tasks.retry(task_id, reason=given.reason)
        return new, f"{task_id} runs again as {new.id}"

    return _each(given.ids, one, voice)


def _each(ids: list[str], one: Callable[[str], tuple[Model, str]], voice: Voice) -> Exit:
    exit_ = Exit.WELL
    for task_id in ids:
        try:
            done, text = one(task_id)
        except ClientError as error:
            exit_ = max(exit_, Exit.of(error))
            voice.complain(f"{task_id}: {error}")
            continue
        if voice.as_json:
            voice.document(done)
        else:
            voice.line(text)
    return exit_


def _told(task: Task, voice: Voice, *, ended: bool) -> Exit:
    if voice.as_json:
        voice.document(task)
    else:
        voice.facts(_facts(task))
    if not ended:
        return Exit.WELL
    try:
        result_of(task)
    except NoResult:
        return Exit.REFUSED
    return Exit.WELL


def _facts(task: Task) -> Mapping[str, object]:
    error = task.error
    return {
        "task": task.id,
        "type": task.task_type,
        "state": task.state,
        "result": task.result if task.state == "succeeded" else None,
        "error": None if error is None else f"{error.type}: {error.message}",
        "queue": f"{task.queue}, priority {task.priority}",
        "attempt": f"{task.attempt} of {task.max_attempts}",
        "submitted": _moment(task.submitted_at),
        "due": _moment(task.due_at) if task.due_at != task.submitted_at else None,
        "started": _moment(task.started_at),
        "finished": _moment(task.finished_at),
        "waited": _seconds(task.queue_wait_seconds),
        "ran": _seconds(task.run_seconds),
        "held": task.held_reason,
        "worker": task.worker,
        "tags": task.tags,
        "args": task.args,
        "kwargs": task.kwargs,
        "runs again": task.replayed_from,
        "run again as": task.replayed_as,
    }


def _moment(at: datetime | None) -> str | None:
    """Where no head of a column says that it is UTC."""
    return None if at is None else f"{said_of(at)} UTC"


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.3f} s"

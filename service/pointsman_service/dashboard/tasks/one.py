"""The page of one task: its state as a sentence, its way there, its attempts, and what it wrote."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pointsman_contract.states import TERMINAL, TaskState
from pointsman_service.access.scopes import KeyScope
from pointsman_service.api.requests.ids import id_of
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.page import Pace, View
from pointsman_service.dashboard.tasks.commands import task_command
from pointsman_service.dashboard.tasks.drawing import bars_of, says, tone_of, word_of
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.victims import victims_of
from pointsman_service.live.topics import Topic
from pointsman_service.observe.audit import DoneAct, wanted
from pointsman_service.observe.explain.explanation import Explanation
from pointsman_service.observe.tasks.in_short import how_far, share_of
from pointsman_service.observe.tasks.path import path_of
from pointsman_service.observe.tasks.reader import SeenTask, named_at
from pointsman_service.observe.tasks.task import Task
from pointsman_service.observe.tasks.waiting import remaining_wait

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LINES: Final = 300
_DAY_SECONDS: Final = 86_400.0
_AT_ONCE: Final = frozenset({TaskState.QUEUED, TaskState.HELD, TaskState.RETRYING})
"""What is cancelled then is taken back by running it again."""
_CHANGES: Final = frozenset({TaskState.SCHEDULED, TaskState.QUEUED, TaskState.HELD, TaskState.RETRYING})
_WHY_UNSAID: Final = {
    "paused": "its queue is paused",
    "no_worker": "nobody takes from its queue",
    "breaker_open": "a circuit breaker holds it",
    "unknown_task_type": "it is held until a worker knows its type",
    "not_enough_seen": "nobody knows how long the tasks before it run",
    "not_known": "what it takes is not known now",
}

_ACTS: Final = 20


@dataclass(frozen=True)
class MayDo:
    """What can be done to a task now."""

    cancel: bool
    """At once: it waits, and can be run again."""
    cancel_asking: bool
    """What it has done cannot be taken back, so it is asked for."""
    change: bool
    run_now: bool
    again: bool
    """As a new task that names it."""
    submit: bool
    """As a new submission: it has succeeded."""


@page.shows("{task_id}")
async def show_task(ask: Ask) -> View:
    """One task."""
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    task = seen.task
    explained, waits, done, victims = await asyncio.gather(
        ask.parts.views.explainer.of_task(task.id, reads_payloads=ask.caller.reads_payloads),
        remaining_wait(ask.parts.store, ask.parts.views.predictions, task, ask.parts.settings.caller_weights),
        _done_to(ask, task),
        victims_of(ask, seen),
    )
    path = path_of(task, seen.attempts, seen.asked_for, seen.read_at)
    return View(
        template="tasks/task.html",
        title=f"{task.state}: {task.task_type}",
        says=_sentence(ask, task, explained),
        values=head_of(ask, seen)
        | {
            "explained": explained,
            "sentence": _sentence(ask, task, explained),
            "waits": waits,
            "why_unsaid": None if waits is None or waits.reason is None else _WHY_UNSAID[waits.reason],
            "progress": task.progress,
            "share": None if task.progress is None else share_of(task.progress),
            "far": "" if task.progress is None else how_far(task.progress, reads_payloads=ask.caller.reads_payloads),
            "path": path,
            "bars": bars_of(path),
            "path_says": says(path, seen.read_at),
            "tone_of_stretch": tone_of,
            "word_of_stretch": word_of,
            "attempts": list(reversed(seen.attempts)),
            "older_attempts": seen.attempts[0].attempt - 1 if seen.attempts else 0,
            "made_from": seen.made_from,
            "became": seen.became,
            "done_to": done,
            "victims": victims,
            "command": task_command(ask, task.id),
            "whole": ask.links.above(f"v1/tasks/{task.id}"),
        },
    )


@page.shows("{task_id}/logs", pace=Pace(frozenset({Topic.TASKS}), 2.0, 2.0))
async def show_logs(ask: Ask) -> View:
    """What an attempt wrote, the last lines of it."""
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    task = seen.task
    asked = ask.query.get("attempt", "")
    attempt = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else max(task.attempt, 1)
    level = ask.chosen("level", {name: name for name in LEVELS})
    most = 10_000 if ask.query.get("all") else _LINES
    wrote = await ask.parts.views.tasks.wrote(task.id, attempt, most)
    least = LEVELS[level] if level else 0
    lines = [line for line in wrote.lines if LEVELS.get(line.level, LEVELS["info"]) >= least]
    return View(
        template="tasks/logs.html",
        title=f"logs of {task.task_type}",
        values=head_of(ask, seen)
        | {
            "attempt": attempt,
            "numbers": [one.attempt for one in seen.attempts],
            "lines": lines,
            "written": wrote.written,
            "shown_from": wrote.lines[0].number if wrote.lines else 1,
            "level": level,
            "levels": {name: name for name in LEVELS},
            "runs": task.state is TaskState.RUNNING and attempt == task.attempt,
            "all_href": ask.links("tasks", task.id, "logs", attempt=attempt, level=level, all="yes"),
            "cut": not ask.query.get("all") and len(wrote.lines) == _LINES,
        },
    )


async def _done_to(ask: Ask, task: Task) -> Sequence[DoneAct]:
    """What somebody did to this task alone, the newest first; nothing for who may not see that."""
    if ask.caller.scopes is not None and KeyScope.AUDIT_READ not in ask.caller.scopes:
        return ()
    return (await ask.parts.acts_done.page(wanted(subject=str(task.id)), _ACTS)).items


async def found(ask: Ask) -> tuple[SeenTask | None, View]:
    """The task that the path names, or the page that says why there is none."""
    text = str(ask.names["task_id"])
    task_id = id_of(text)
    seen = None if task_id is None else await ask.parts.views.tasks.find(task_id)
    if seen is not None:
        return seen, View(template="tasks/unknown.html", title="")
    return None, View(
        template="tasks/unknown.html",
        title="no such task",
        status=404,
        values={"asked": text, "is_id": task_id is not None} | _why_unknown(ask, task_id),
    )


def head_of(ask: Ask, seen: SeenTask) -> dict[str, Any]:
    """What stands above every page of a task."""
    task = seen.task
    return {
        "task": task,
        "reads": ask.caller.reads_payloads,
        "may_do": _may_do(task),
    }


def _may_do(task: Task) -> MayDo:
    ended = task.state in TERMINAL
    asked = task.cancel_requested_at is not None
    waits = task.state in _CHANGES and not asked
    return MayDo(
        cancel=task.state in _AT_ONCE and not asked,
        cancel_asking=not ended and (task.state not in _AT_ONCE or asked),
        change=waits and task.held_reason != "quarantine",
        run_now=waits and task.state in (TaskState.SCHEDULED, TaskState.RETRYING),
        again=ended and task.state is not TaskState.SUCCEEDED and task.replayed_as is None,
        submit=task.state is TaskState.SUCCEEDED,
    )


def _sentence(ask: Ask, task: Task, explained: Explanation | None) -> str:
    if explained is None:
        return f"It is {task.state}."
    if not ask.caller.reads_payloads and task.error is not None:
        # Its sentence quotes what the error says.
        is_ = "failed" if task.state is TaskState.FAILED else f"is {task.state}"
        return f"It {is_}, with {task.error.type}."
    return explained.root.sentence


def _why_unknown(ask: Ask, task_id: UUID | None) -> dict[str, Any]:
    days = ask.parts.settings.retention_days
    made = None if task_id is None else named_at(task_id)
    is_old = made is not None and (ask.now - made).total_seconds() > days * _DAY_SECONDS
    return {"made": made, "is_old": is_old, "kept": some(round(days), "day"), "is_ours": made is not None}

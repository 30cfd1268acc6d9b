"""The page of one group: an example with its traceback at once, how often, whom it hit, and what was decided."""

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from pointsman_contract.states import TaskState
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import MOST_COUNTED, some
from pointsman_service.dashboard.components.moments import clock, local, machine
from pointsman_service.dashboard.errors.here import USUAL_WINDOW, WINDOW_WORDS, WINDOWS, page, window_of
from pointsman_service.dashboard.errors.standing import limit_of, name_of, word_of
from pointsman_service.dashboard.page import View
from pointsman_service.errors import InvalidRequest
from pointsman_service.observe.errors import ErrorGroup, shown_to
from pointsman_service.observe.tasks.lists import Counted, TaskFilter
from pointsman_service.operate.act import ActKind

_COUNT_SECONDS: Final = 0.015
_STEPS: Final = {60: "a minute", 3600: "an hour", 86_400: "a day"}
FOR: Final[Mapping[str, str]] = {
    "": "somebody opens it",
    "3600": "1 h from now",
    "14400": "4 h from now",
    "86400": "1 day from now",
    "604800": "7 days from now",
}
"""Until when a group is ignored, by seconds."""
_LIMITS: Final[Mapping[str, str]] = {
    "at": "or until, in UTC",
    "per_hour": "or more an hour than",
    "count": "or more from now on than",
}
"""What else ends that it is ignored, by the fields of the form."""


@page.shows("{group_id:uuid}")
async def show_group(ask: Ask) -> View:
    """One group."""
    return await group_view(ask, None)


@page.shows("{group_id:uuid}/ignore")
async def show_ignore(ask: Ask) -> View:
    """The form that ignores it, by itself."""
    return await group_view(ask, None)


async def group_view(ask: Ask, error: InvalidRequest | None) -> View:
    """One group, with what is wrong with the form that was sent. Raises ``UnknownErrorGroup``."""
    group_id: UUID = ask.names["group_id"]
    window = window_of(ask)
    whole, dead, waiting = await asyncio.gather(
        ask.parts.views.errors.find(group_id, WINDOWS[window]),
        _count(ask, TaskFilter(error_group=group_id, state=TaskState.FAILED, replayed=False)),
        _count(ask, TaskFilter(error_group=group_id, state=TaskState.RETRYING)),
    )
    group = shown_to(whole.group, reads_payloads=ask.caller.reads_payloads)
    word, tone = word_of(group)
    reads = ask.caller.reads_payloads
    form = ask.form
    return View(
        template="errors/one.html",
        title=f"{word}: {group.error_type or group.message or 'other errors'}",
        says=_sentence(ask, group, word),
        status=200 if error is None else error.status,
        values={
            "group": group,
            "name": name_of(group),
            "word": word,
            "tone": tone,
            "sentence": _sentence(ask, group, word),
            "limit": limit_of(group.ignored, ask.now),
            "reads": reads,
            "traceback": whole.traceback,
            "since": whole.since,
            "step": _STEPS[whole.step_seconds],
            "window": window,
            "windows": [(name, words, _window_link(ask, group, name)) for name, words in WINDOW_WORDS.items()],
            "recent": whole.recent_tasks,
            "changes": whole.changes,
            "dead": dead,
            "waiting": waiting,
            "links_of": _links_of(ask, group),
            "for_": FOR,
            "limits": _LIMITS,
            "faults": []
            if error is None
            else [(one["pointer"].removeprefix("/"), one["detail"]) for one in error.errors],
            "filled": {name: form.get(name, "") for name in ("seconds", "at", "per_hour", "count", "reason")},
            "soonest": local(machine(ask.now)),
        },
    )


def _window_link(ask: Ask, group: ErrorGroup, window: str) -> str:
    return ask.links("errors", group.id, window=None if window == USUAL_WINDOW else window)


def _links_of(ask: Ask, group: ErrorGroup) -> dict[str, str | None]:
    """Where its tasks are, and what is done to all of them."""
    dead = {"state": "failed", "error_group": group.id}
    waiting = {"state": "retrying", "error_group": group.id}
    may = ask.caller.may
    return {
        "all": ask.links("tasks", error_group=group.id),
        "dead": ask.links("tasks", **dead, replayed="false"),
        "waiting": ask.links("tasks", **waiting),
        "replay": ask.links("tasks", "many", "retry", **dead) if may(ActKind.RETRY_MANY) else None,
        "cancel": ask.links("tasks", "many", "cancel", **waiting) if may(ActKind.CANCEL_MANY) else None,
        "acts": ask.links("tasks", "acts"),
    }


def _sentence(ask: Ask, group: ErrorGroup, word: str) -> str:
    times = "once" if group.occurrences == 1 else some(group.occurrences, "time")
    lost = (
        f", {some(group.failed_tasks, 'task')} failed for good" if group.failed_tasks else ", no task failed for good"
    )
    said = f"{group.task_type} has failed this way {times} since {clock(group.first_seen_at, ask.now)} UTC{lost}."
    limit = limit_of(group.ignored, ask.now)
    more = {
        "back again": " It came back after somebody had dealt with it.",
        "ignored": f" It is ignored {limit}.",
        "resolved": " It is resolved: if it fails this way again, it is back.",
    }
    return said + more.get(word, "")


async def _count(ask: Ask, wanted: TaskFilter) -> Counted:
    return await ask.parts.views.task_lists.count(wanted, MOST_COUNTED, _COUNT_SECONDS)

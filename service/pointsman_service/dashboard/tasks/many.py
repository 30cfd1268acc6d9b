"""Something is done to everything that a filter finds: first how many that is and what is left out, then it begins."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import uuid_utils

from pointsman_contract.states import TaskState
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.parameters import bounded
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import MOST_COUNTED, some
from pointsman_service.dashboard.components.moments import moment_of
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.dashboard.tasks.filters import Chosen, chosen_of, words_of
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.offers import RIGHTS, act_filter
from pointsman_service.errors import FieldError, InvalidRequest, UnknownErrorGroup
from pointsman_service.observe.tasks.lists import Counted
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.act_on_many import ActFilter, ManyRequest, TaskActKind

WORD: Final = "cancel"
_HOUR: Final = 3600.0
_COUNT_SECONDS: Final = 0.03
_LEFT_OUT_SECONDS: Final = 0.004
_LEFT_OUT_ROWS: Final = 800
"""There are up to nine such counts, and none of them decides anything: more than that are looked at only where that is
quick.
"""
_MOST_RATE: Final = {TaskActKind.CANCEL: 100_000.0, TaskActKind.RETRY: 10_000.0}
_LEAST_RATE: Final = 0.001
_MOST: Final = 100_000_000
_NARROW: Final = "narrow it, best by when the tasks were submitted"


@dataclass(frozen=True)
class LeftOut:
    """Tasks that the filter finds and the act leaves alone."""

    why: str
    state: TaskState
    counted: Counted
    href: str
    """Those tasks."""


@page.shows("many/cancel")
async def show_cancel(ask: Ask) -> View:
    """What a cancel would do."""
    return await _preview(ask, TaskActKind.CANCEL)


@page.shows("many/retry")
async def show_retry(ask: Ask) -> View:
    """What running them again would do."""
    return await _preview(ask, TaskActKind.RETRY)


@page.acts("many/cancel", ActKind.CANCEL_MANY)
async def cancel(ask: Ask) -> Done:
    """Begin to cancel. What runs is ended only where a word was typed for that."""
    grace = None
    if ask.form.get("running"):
        ask.confirmed(WORD)
        grace = ask.number("grace", 0, 86_400)
    return await _begin(ask, TaskActKind.CANCEL, grace)


@page.acts("many/retry", ActKind.RETRY_MANY)
async def retry(ask: Ask) -> Done:
    """Begin to run them again."""
    return await _begin(ask, TaskActKind.RETRY, None)


async def _preview(ask: Ask, kind: TaskActKind) -> View:
    chosen = _chosen(ask)
    wanted = act_filter(kind, chosen)
    back = ask.links("tasks", **chosen.query())
    values: dict[str, Any] = {
        "kind": str(kind),
        "error": await error_of(ask, chosen.wanted.error_group),
        "right": RIGHTS[kind],
        "back_to": back,
        "words": [words_of(name, value) for name, value in chosen.given.items()] + list(chosen.tags),
        "word": WORD,
        "most_rate": _MOST_RATE[kind],
        "grace_seconds": ask.parts.settings.cancel_grace_seconds,
        "why_not": wanted if isinstance(wanted, str) else None,
    }
    if isinstance(wanted, str):
        return View(template="tasks/many.html", title=f"{kind}: not possible", values=values, status=422)
    # Beside each other, for each takes half of what the page takes: counting asks the database again and again.
    (tasks, is_all, before), left_out = await asyncio.gather(
        _counted(ask, ManyRequest(kind, wanted, chosen.wanted.submitted_before)), _left_out(ask, kind, chosen)
    )
    running = sum(one.counted.tasks for one in left_out if one.state is TaskState.RUNNING)
    fields = {
        "before": before.isoformat(),
        "key": str(uuid_utils.uuid7()),
        "at_most": str(tasks) if is_all else "",
    }
    return View(
        template="tasks/many.html",
        title=f"{kind} {tasks:,}{'' if is_all else ' or more'}",
        values=values
        | {
            "tasks": tasks,
            "is_all": is_all,
            "most_counted": MOST_COUNTED,
            "left_out": left_out,
            "running": running if kind is TaskActKind.CANCEL else 0,
            "fields": fields,
            # More of them may run by then, or less.
            "fields_of_running": fields | {"running": "yes", "at_most": ""},
            "action": ask.links("tasks", "many", str(kind), **chosen.query()),
        },
    )


async def _counted(ask: Ask, wanted: ManyRequest) -> tuple[int, bool, datetime]:
    async with ask.parts.pages.place(), in_time(_NARROW):
        return await ask.parts.many.count_some(wanted, MOST_COUNTED, _COUNT_SECONDS)


async def error_of(ask: Ask, group_id: UUID | None) -> tuple[str, str] | None:
    """The error that the filter names by its id: what it says, and its page."""
    if group_id is None:
        return None
    try:
        group = (await ask.parts.views.errors.find(group_id, _HOUR)).group
    except UnknownErrorGroup:
        return None
    said = [group.error_type or "An error", group.message if ask.caller.reads_payloads else ""]
    return ": ".join(filter(None, said)), ask.links("errors", group_id)


def _chosen(ask: Ask) -> Chosen:
    """The filter. Raises ``InvalidRequest``: nobody acts by half a filter."""
    chosen = chosen_of(ask)
    if chosen.faults:
        raise InvalidRequest(errors=list(chosen.faults))
    return chosen


async def _left_out(ask: Ask, kind: TaskActKind, chosen: Chosen) -> Sequence[LeftOut]:
    wanted = chosen.wanted
    if kind is TaskActKind.CANCEL:
        others: list[tuple[str, dict[str, Any]]] = [
            ("running: left alone", {"state": TaskState.RUNNING}),
            *((f"{state} already", {"state": state}) for state in _ENDED),
        ]
    else:
        state = wanted.state or TaskState.FAILED
        others = [
            ("run again already", {"state": state, "replayed": True}),
            *(
                (f"{other}: a list of those can be run again by itself", {"state": other})
                for other in _RETRIED
                if other != state
            ),
            ("succeeded", {"state": TaskState.SUCCEEDED}),
            *((f"{other}: not ended", {"state": other}) for other in _UNFINISHED),
        ]
    # A filter has one state: with one, no task of another is in it.
    others = [one for one in others if wanted.state in (None, one[1]["state"])]
    async with ask.parts.pages.place(), in_time(_NARROW):
        counts = await ask.parts.views.task_lists.counts(
            [replace(wanted, **narrower) for _, narrower in others], MOST_COUNTED, _LEFT_OUT_SECONDS, _LEFT_OUT_ROWS
        )
    found = []
    for (why, narrower), counted in zip(others, counts, strict=True):
        if counted.tasks:
            query = {name: str(value).lower() for name, value in narrower.items()}
            found.append(LeftOut(why, narrower["state"], counted, ask.links("tasks", **chosen.query(**query))))
    return found


_ENDED: Final = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)
_RETRIED: Final = (TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)
_UNFINISHED: Final = (
    TaskState.SCHEDULED,
    TaskState.QUEUED,
    TaskState.HELD,
    TaskState.RUNNING,
    TaskState.RETRYING,
)


async def _begin(ask: Ask, kind: TaskActKind, grace: float | None) -> Done:
    chosen = _chosen(ask)
    wanted = act_filter(kind, chosen)
    if not isinstance(wanted, ActFilter):
        raise InvalidRequest(errors=[FieldError(pointer="", detail=wanted)])
    reason = ask.reason()
    asked = ManyRequest(
        kind,
        _without_running(wanted, grace),
        _before(ask, chosen),
        _whole(ask, "limit", 1),
        _whole(ask, "at_most", 0),
        ask.number("rate", _LEAST_RATE, _MOST_RATE[kind]) if ask.form.get("rate", "").strip() else None,
        grace,
    )
    async with in_time(_NARROW):
        progress, earlier = await ask.parts.many.begin(ask.caller, asked, ask.key(), reason)
    act = progress.act
    what = "cancelled" if kind is TaskActKind.CANCEL else "run again"
    said = "It was begun already" if earlier else f"{some(act.tasks, 'task')} {what} so far"
    undo = Undo(place("tasks", "acts", act.id, "undo")) if grace is None else None
    return Done(text=f"{said}: {reason}", path=place("tasks", "acts", act.id), undo=undo)


def _without_running(wanted: ActFilter, grace: float | None) -> ActFilter:
    """What runs is only ended by who says so. Raises ``InvalidRequest``."""
    if wanted.state is TaskState.RUNNING and grace is None:
        raise InvalidRequest(errors=[FieldError(pointer="/running", detail="say that what runs is to end")])
    return wanted


def _before(ask: Ask, chosen: Chosen) -> datetime | None:
    """What came after it was counted is not touched, nor what the filter leaves out."""
    try:
        counted = bounded(moment_of(ask.form.get("before", "")))
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError(pointer="/before", detail="look at it first")]) from error
    limits = [at for at in (counted, chosen.wanted.submitted_before) if at is not None]
    return min(limits)


def _whole(ask: Ask, name: str, least: int) -> int | None:
    return ask.whole(name, least, _MOST) if ask.form.get(name, "").strip() else None

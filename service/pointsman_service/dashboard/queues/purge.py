"""Purge a queue: counted first, then asked for with a typed word and a reason. It cannot be taken back."""

from datetime import datetime
from typing import Final

from pointsman_contract.states import TaskState
from pointsman_service.api.requests.parameters import bounded
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.moments import moment_of
from pointsman_service.dashboard.components.prose import ended
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, View
from pointsman_service.dashboard.queues.here import page
from pointsman_service.errors import CountDiffers, FieldError, InvalidRequest, PointsmanError
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.purge import PURGEABLE, PurgeRequest

STATES: Final = {
    TaskState.QUEUED: "due and waiting",
    TaskState.SCHEDULED: "due later",
    TaskState.HELD: "held back",
    TaskState.RETRYING: "waiting to be tried again",
}


@page.shows("{name}/purge")
async def ask_to_purge(ask: Ask) -> View:
    """How many tasks a purge would end."""
    return await _form(ask, None)


@page.acts("{name}/purge", ActKind.PURGE)
async def purge(ask: Ask) -> Done | View:
    """End what has not started, if it is no more than was counted."""
    name: str = ask.names["name"]
    try:
        counted = ask.confirmed(name)
        reason = ask.reason()
        if counted is None:
            raise InvalidRequest(errors=[FieldError(pointer="/count", detail="count them first")])
        asked = PurgeRequest(_states(ask), _before(ask), at_most=counted)
        done = await ask.parts.purger.purge(ask.caller, name, asked, reason)
    except (InvalidRequest, CountDiffers) as error:
        return await _form(ask, error)
    more = "or more " if done.pending_is_least else ""
    left = f" {some(done.pending, 'task')} {more}not ended yet: that goes on by itself." if done.pending else ""
    return Done(text=f"{some(done.tasks, 'task')} of {name} purged: {ended(reason)}{left}", path=place("queues", name))


async def _form(ask: Ask, error: PointsmanError | None) -> View:
    name: str = ask.names["name"]
    states = _states(ask)
    counted = await ask.parts.purger.count(name, PurgeRequest(states))
    return View(
        template="queues/purge.html",
        title=f"purge {name}",
        status=200 if error is None else error.status,
        values={
            "name": name,
            "counted": counted,
            "states": STATES,
            "chosen": states,
            "said": ", ".join(STATES[state] for state in states),
            "before": counted.submitted_before.isoformat(),
            "action": ask.links("queues", name, "purge", states=[str(state) for state in states]),
            "faults": _faults(error),
        },
    )


def _states(ask: Ask) -> list[TaskState]:
    """Those that were chosen, or what is due."""
    wanted = ask.every.get("states", ())
    return [state for state in PURGEABLE if state in wanted] or [TaskState.QUEUED]


def _before(ask: Ask) -> datetime | None:
    """The moment of the count: what came since is not in it."""
    try:
        return bounded(moment_of(ask.form.get("before", "")))
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError(pointer="/before", detail="count them first")]) from error


def _faults(error: PointsmanError | None) -> list[str]:
    if error is None:
        return []
    return [fault["detail"] for fault in error.errors] or [error.detail]

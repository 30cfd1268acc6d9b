"""Pause and resume a queue."""

from typing import Final

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.prose import ended
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo
from pointsman_service.dashboard.queues.here import page
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.pause import Paused

_SEEN: Final = "in the dashboard"


@page.acts("{name}/pause", ActKind.PAUSE)
async def pause(ask: Ask) -> Done:
    """None of its tasks starts; what runs goes on."""
    name: str = ask.names["name"]
    reason = ask.reason(_SEEN)
    done = await ask.parts.pauser.set_paused(ask.caller, name, paused=True, reason=reason)
    runs = f" {some(done.tasks.running, 'task')} that {'runs goes' if done.tasks.running == 1 else 'run go'} on."
    return Done(
        text=f"{name} is paused: {ended(reason)}{runs if done.tasks.running else ''}{_untold(done)}",
        path=_after(ask, name),
        undo=Undo(place("queues", name, "resume"), {"back": ask.form.get("back", ""), "was": reason}),
    )


@page.acts("{name}/resume", ActKind.RESUME)
async def resume(ask: Ask) -> Done:
    """What waits is sent again, the most urgent first."""
    name: str = ask.names["name"]
    was = ask.form.get("was") or await _reason_of_pause(ask, name)
    done = await ask.parts.pauser.set_paused(ask.caller, name, paused=False, reason=ask.reason(_SEEN))
    again = {"back": ask.form.get("back", ""), "reason": was}
    return Done(
        text=f"{name} is resumed: {some(done.tasks.waiting, 'task')} that waited can be sent.{_untold(done)}",
        path=_after(ask, name),
        undo=Undo(place("queues", name, "pause"), again),
    )


async def _reason_of_pause(ask: Ask, name: str) -> str:
    return next((one.pause_reason or "" for one in await ask.parts.views.queues.read() if one.name == name), "")


def _untold(done: Paused) -> str:
    return "" if done.told else " Redis is away: workers are told once it is back, and until then nothing starts."


def _after(ask: Ask, name: str) -> str:
    return ask.back(place("queues"), place("queues", name))

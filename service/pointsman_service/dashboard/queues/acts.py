"""Pause and resume a queue."""

from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.prose import ended
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo
from pointsman_service.dashboard.queues.here import page
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.pause import Paused


@page.acts("{name}/pause", ActKind.PAUSE)
async def pause(ask: Ask) -> Done:
    """None of its tasks starts; what runs goes on."""
    name: str = ask.names["name"]
    reason = ask.reason(NO_REASON)
    done = await ask.parts.pauser.set_paused(ask.caller, name, paused=True, reason=reason)
    runs = f" {some(done.tasks.running, 'task')} that {'runs goes' if done.tasks.running == 1 else 'run go'} on."
    return Done(
        text=f"{name} is paused: {ended(reason)}{runs if done.tasks.running else ''}{_untold(done)}",
        path=_after(ask, name),
        undo=_paused_again(ask, done) or Undo(place("queues", name, "resume"), _back(ask)),
    )


@page.acts("{name}/resume", ActKind.RESUME)
async def resume(ask: Ask) -> Done:
    """What waits is sent again, the most urgent first."""
    name: str = ask.names["name"]
    done = await ask.parts.pauser.set_paused(ask.caller, name, paused=False, reason=ask.reason(NO_REASON))
    undo = _paused_again(ask, done)
    said = f"{name} is resumed: {some(done.tasks.waiting, 'task')} that waited can be sent."
    if undo is None:
        said = f"{name} was not paused: nothing is changed."
    return Done(text=f"{said}{_untold(done)}", path=_after(ask, name), undo=undo)


def _paused_again(ask: Ask, done: Paused) -> Undo | None:
    """What pauses it as it was paused before; None: it was not."""
    before = done.before
    if not before.paused:
        return None
    reason = ask.reason_of(before.reason, before.actor)
    return Undo(place("queues", before.queue, "pause"), _back(ask) | {"reason": reason})


def _back(ask: Ask) -> dict[str, str]:
    return {"back": ask.form.get("back", "")}


def _untold(done: Paused) -> str:
    return "" if done.told else " Redis is away: workers are told once it is back, and until then nothing starts."


def _after(ask: Ask, name: str) -> str:
    return ask.back(place("queues"), place("queues", name))

"""A breaker set by hand: forced open, disabled, closed, tried, and left to itself again."""

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.breakers.here import key_of, page
from pointsman_service.dashboard.breakers.words import name_of
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import label
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo
from pointsman_service.observe.breaker_reader import BreakerState, Key
from pointsman_service.observe.breakers import BreakerNow
from pointsman_service.operate.act import ActKind

WORD = "close"
_LONGEST_SECONDS = 366 * 86_400.0
_PATHS = {BreakerState.FORCED_OPEN: "force-open", BreakerState.DISABLED: "disable"}


@page.acts("{scope}/{name}/force-open", ActKind.FORCE_OPEN)
async def force_open(ask: Ask) -> Done:
    """Let nothing through, for a while or until somebody takes it away."""
    return await _force(ask, BreakerState.FORCED_OPEN, "Forced open")


@page.acts("{scope}/{name}/disable", ActKind.DISABLE)
async def disable(ask: Ask) -> Done:
    """Let everything through and count nothing."""
    return await _force(ask, BreakerState.DISABLED, "Disabled")


@page.acts("{scope}/{name}/force-close", ActKind.FORCE_CLOSED)
async def force_close(ask: Ask) -> Done:
    """Close it and forget what it has counted. What was held begins to go, so a word is asked for."""
    key = key_of(ask)
    ask.confirmed(WORD)
    reason = ask.reason()
    hand = ask.parts.breaker_hand
    await hand.check_known(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    await hand.close(ask.caller, key, reason)
    return Done(text=f"Closed: {name_of(before)}. What it held goes now.", path=place("breakers", *key))


@page.acts("{scope}/{name}/reset", ActKind.RESET)
async def reset(ask: Ask) -> Done:
    """Take away what was set by hand."""
    key = key_of(ask)
    hand = ask.parts.breaker_hand
    await hand.check_known(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    await hand.reset(ask.caller, key, ask.reason("left to itself in the dashboard"))
    undo = None if before.by_hand is None else _back_to(ask, key, before)
    return Done(text=f"Left to itself: {name_of(before)}.", path=_after(ask, key), undo=undo)


@page.acts("{scope}/{name}/probe", ActKind.PROBE)
async def probe(ask: Ask) -> Done:
    """Try a few of what it holds before its time. It ends by itself: closed, or open again."""
    key = key_of(ask)
    hand = ask.parts.breaker_hand
    await hand.check_known(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    await hand.probe(ask.caller, key, ask.reason("tried in the dashboard"))
    said = "It is tried now, with a few, and open again if they fail"
    if before.state is not BreakerState.OPEN:
        said = f"It is {label(before.state)}, so there is nothing to try"
    return Done(text=f"{said}: {name_of(before)}.", path=_after(ask, key))


async def _force(ask: Ask, state: BreakerState, said: str) -> Done:
    key = key_of(ask)
    reason = ask.reason()
    seconds = ask.number("seconds", 1, _LONGEST_SECONDS) if ask.form.get("seconds", "").strip() else None
    hand = ask.parts.breaker_hand
    if ask.form.get("new"):
        await hand.check_guarded(ask.caller, key)
    else:
        await hand.check_known(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    await hand.force(ask.caller, key, state, reason, seconds)
    until = "until somebody takes that away" if seconds is None else f"for {duration(seconds)}"
    taken_back = Undo(place("breakers", *key, "reset"), _back(ask))
    undo = taken_back if before.by_hand is None else _back_to(ask, key, before)
    return Done(text=f"{said} {until}: {name_of(before)}.", path=_after(ask, key), undo=undo)


def _back_to(ask: Ask, key: Key, before: BreakerNow) -> Undo:
    """What sets by hand what was set before, for the time that it had left."""
    by_hand = before.by_hand
    assert by_hand is not None
    left = "" if by_hand.expires_at is None else f"{max((by_hand.expires_at - ask.now).total_seconds(), 1.0):.0f}"
    fields = _back(ask) | {"reason": ask.reason_of(by_hand.reason, by_hand.actor), "seconds": left}
    return Undo(place("breakers", *key, _PATHS[by_hand.state]), fields)


def _back(ask: Ask) -> dict[str, str]:
    return {"back": ask.form.get("back", "")}


def _after(ask: Ask, key: Key) -> str:
    return ask.back(place("breakers"), place("breakers", *key))

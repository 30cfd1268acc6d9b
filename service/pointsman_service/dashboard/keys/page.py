"""Keys: which there are and what each may, who used one last; make one, put another in its place, revoke it."""

import re
from typing import Final
from uuid import UUID

from pointsman_service.access.key import Key, KeyState
from pointsman_service.access.scopes import PRESETS, KeyScope
from pointsman_service.dashboard.asking import NO_REASON, Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Hit, Page, View
from pointsman_service.errors import FieldError, InvalidRequest, NoSuchKey
from pointsman_service.limits import LEAST_WEIGHT, MOST_WEIGHT, Rate, rate_of
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.handle_keys import MadeKey, wanted

page = Page("keys", "Keys", key="k", question="Who may call, and what may they?", reads=KeyScope.KEYS_READ)

_LASTS: Final = {"": "does not expire", "30": "30 days", "90": "90 days", "365": "1 year"}
_OVERLAPS: Final = {"0": "nothing: it leaked", "1": "1 h", "24": "1 day", "168": "7 days"}
_DAY_SECONDS: Final = 86_400.0
_DIGITS: Final = 9
_DECIMAL: Final = r"[0-9]{1,2}(\.[0-9]{1,6})?"


@page.shows()
async def show_list(ask: Ask) -> View:
    """All of them, a page at a time; and a form for another."""
    cursor = ask.cursor()
    found = await ask.parts.key_reader.page(below=cursor)
    return View(
        template="keys/list.html",
        title=some(len(found.items), "key") if cursor is None and found.following is None else "",
        values={
            "keys": found.items,
            "first": None if cursor is None else ask.links("keys"),
            "following": None if found.following is None else ask.links("keys", cursor=found.following),
            "presets": {"": "only the scopes"} | {str(preset): str(preset) for preset in PRESETS},
            "lasts": _LASTS,
            "submits": _submits,
            "everybody": not ask.parts.settings.asks_for_keys,
        },
    )


@page.shows("{key_id:uuid}")
async def show_key(ask: Ask) -> View:
    """One key, and what can be done with it."""
    key = await ask.parts.key_reader.find(ask.names["key_id"])
    return View(
        template="keys/key.html",
        title=f"{key.state}: {key.name}",
        says=f"The key {key.name} is {key.state}.",
        values={
            "key": key,
            "submits": _submits(key.rate, key.burst),
            "overlaps": _OVERLAPS,
            "before": await _other(ask, key.replaces),
            "after": await _other(ask, key.replaced_by),
        },
    )


async def _other(ask: Ask, key_id: UUID | None) -> Key | None:
    return None if key_id is None else await ask.parts.key_reader.find(key_id)


@page.acts("create", ActKind.CREATE_KEY)
async def create(ask: Ask) -> View:
    """Make a key, and show it this once."""
    lasts = ask.chosen_of_form("lasts", _LASTS)
    rate, burst, quota, weight = _limits(ask)
    try:
        asked = wanted(
            ask.form.get("name", "").strip(),
            ask.form.get("preset", "") or None,
            _listed(ask, "scopes"),
            _listed(ask, "task_types"),
            _listed(ask, "queues"),
            float(lasts) * _DAY_SECONDS if lasts else None,
            rate,
            burst,
            quota,
            weight,
        )
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError(pointer="", detail=str(error))]) from error
    return await _made(ask, await ask.parts.key_hand.create(ask.caller, asked, ask.reason(NO_REASON)))


@page.acts("{key_id:uuid}/limit", ActKind.LIMIT_KEY)
async def limit(ask: Ask) -> Done:
    """Say how fast its caller may submit, how much, and its share."""
    key_id: UUID = ask.names["key_id"]
    text, burst, quota, weight = _limits(ask)
    rate = rate_of(text, burst)
    key = await ask.parts.key_hand.limit(ask.caller, key_id, rate, quota, weight, ask.reason(NO_REASON))
    await ask.parts.keys.try_refresh()
    may = _submits(text, burst) or "as the settings say for all"
    most = "" if quota is None else f", and {quota:,} may wait"
    turns = "" if weight is None else f"; its weight is {weight:g}"
    return Done(text=f"{key.name} may submit {may}{most}{turns}.", path=place("keys", key_id))


@page.acts("{key_id:uuid}/rotate", ActKind.ROTATE_KEY)
async def rotate(ask: Ask) -> View:
    """Put another key in its place, and show that this once."""
    key_id: UUID = ask.names["key_id"]
    hours = float(ask.chosen_of_form("overlap", _OVERLAPS))
    reason = ask.reason(NO_REASON)
    return await _made(ask, await ask.parts.key_hand.rotate(ask.caller, key_id, hours * 3600.0, None, reason))


@page.acts("{key_id:uuid}/revoke", ActKind.REVOKE_KEY)
async def revoke(ask: Ask) -> Done:
    """Let it open nothing more."""
    key_id: UUID = ask.names["key_id"]
    ask.confirmed((await ask.parts.key_reader.find(key_id)).name)
    key = await ask.parts.key_hand.revoke(ask.caller, key_id, ask.reason())
    await ask.parts.keys.try_refresh()
    before = await _other(ask, key.replaces)
    goes_on = before is not None and before.state is KeyState.ACTIVE
    other = f" The one that it stands for ({before.hint}) still does what it did." if before and goes_on else ""
    return Done(text=f"The key {key.name} ({key.hint}) opens nothing more.{other}", path=place("keys", key_id))


@page.finds
async def find(ask: Ask, words: str) -> list[Hit]:
    """A key by its id."""
    try:
        key: Key = await ask.parts.key_reader.find(UUID(words))
    except (ValueError, NoSuchKey):
        return []
    return [Hit(f"{key.name} ({key.state})", place("keys", key.id), "key", is_it=True)]


async def _made(ask: Ask, made: MadeKey) -> View:
    # Who gets it may use it here at once.
    await ask.parts.keys.try_refresh()
    return View(
        template="keys/made.html",
        title="made",
        says=f"The key {made.key.name} is made. It is shown this once.",
        values={"key": made.key, "text": made.token},
        status=201,
    )


def _limits(ask: Ask) -> tuple[str | None, int | None, int | None, float | None]:
    """All four as they were typed. Raises ``InvalidRequest`` for whatever is wrong, each at its field."""
    faults: list[FieldError] = []
    rate = ask.form.get("rate", "").strip() or None
    burst, quota = _number(ask, "burst", faults), _number(ask, "quota", faults)
    weight = _weight(ask, faults)
    try:
        rate_of(rate, None)
    except ValueError as error:
        faults.append(FieldError(pointer="/rate", detail=str(error)))
    if not faults:
        try:
            rate_of(rate, burst)
        except ValueError as error:
            faults.append(FieldError(pointer="/burst", detail=str(error)))
    if faults:
        raise InvalidRequest(errors=faults)
    return rate, burst, quota, weight


def _number(ask: Ask, name: str, faults: list[FieldError]) -> int | None:
    text = ask.form.get(name, "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text):
        return int(text)
    faults.append(FieldError(pointer=f"/{name}", detail=f"{text!r} is no number of tasks"))
    return None


def _submits(rate: str | None, burst: int | None) -> str | None:
    """``100 tasks in 60 s, 20 at once``; None where the settings say. What is no rate is shown as it was kept."""
    if rate is None:
        return None
    try:
        said = Rate.of(rate, burst)
    except ValueError:
        return rate
    return f"{some(said.tasks, 'task')} in {said.seconds:,} s" + (f", {burst:,} at once" if burst else "")


def _weight(ask: Ask, faults: list[FieldError]) -> float | None:
    text = ask.form.get("weight", "").strip()
    if not text:
        return None
    if re.fullmatch(_DECIMAL, text) and LEAST_WEIGHT <= float(text) <= MOST_WEIGHT:
        return float(text)
    detail = f"{text!r} is no weight: it takes a number from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"
    faults.append(FieldError(pointer="/weight", detail=detail))
    return None


def _listed(ask: Ask, name: str) -> list[str]:
    return [word for word in ask.form.get(name, "").replace(",", " ").split() if word]

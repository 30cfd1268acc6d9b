"""The list of breakers: open ones first with what is behind each, then the closed ones, a page at a time."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pointsman_service.api.problems.translation import in_time
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.breakers.here import (
    SCOPES,
    USUAL_WINDOW,
    WINDOW_WORDS,
    WINDOWS,
    page,
    window_of,
)
from pointsman_service.dashboard.breakers.strip import Strip, strip_of
from pointsman_service.dashboard.breakers.words import name_of, ramp_of
from pointsman_service.dashboard.components.figures import label, some
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Hit, View
from pointsman_service.errors import FieldError, InvalidRequest
from pointsman_service.observe.breaker_reader import MOST_IN_TROUBLE, BreakerState, Key, Seen
from pointsman_service.observe.breakers import BreakerNow, breaker_now

_ROWS: Final = 50
_MOST_HITS: Final = 20
_NARROW: Final = "narrow it, best by what they guard"
_TROUBLED: Final = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.FORCED_OPEN)


@dataclass(frozen=True)
class Line:
    """A breaker as the list shows it."""

    seen: Seen
    breaker: BreakerNow
    href: str
    strip: Strip
    ramp: str | None


@page.shows()
async def show_list(ask: Ask) -> View:
    """Those in trouble, and a page of the others."""
    scope, window = ask.chosen("scope", SCOPES), window_of(ask)
    query = {"scope": scope, "window": None if window == USUAL_WINDOW else window}
    after = _after(ask)
    async with in_time(_NARROW):
        found = await ask.parts.views.breakers.overview(scope, after, _ROWS, WINDOWS[window])
    trouble = [_line(ask, one) for one in found.in_trouble]
    count = sum(one.breaker.state in _TROUBLED for one in found.in_trouble)
    return View(
        template="breakers/list.html",
        title=f"{count}{'+' if found.more_in_trouble else ''} open" if count else "all closed",
        says=f"{some(count, 'breaker')} {'lets' if count == 1 else 'let'} not everything through."
        if count
        else "Every breaker lets everything through.",
        values={
            "trouble": trouble,
            "more": MOST_IN_TROUBLE if found.more_in_trouble else None,
            "closed": [_line(ask, one) for one in found.closed],
            "reads": ask.caller.reads_payloads,
            "scopes": SCOPES,
            "scope": scope,
            "window": window,
            "windows": WINDOW_WORDS,
            "chips": [(SCOPES[scope], ask.links("breakers", **query | {"scope": None}))] if scope else [],
            "first": None if after is None else ask.links("breakers", **query),
            "following": None
            if found.following is None
            else ask.links("breakers", **query, cursor=_cursor(found.following)),
        },
    )


@page.finds
async def find(ask: Ask, words: str) -> Sequence[Hit]:
    """Breakers that ever were another than closed, by their names."""
    low = words.lower().removeprefix("dependency:").removeprefix("task_type:")
    known = [breaker_now(entry) for entry in await ask.parts.breakers.unusual() if low in entry.key[1].lower()]
    return [
        Hit(name_of(one), place("breakers", one.scope, one.name), f"breaker, {label(one.state)}")
        for one in known[:_MOST_HITS]
    ]


def _line(ask: Ask, seen: Seen) -> Line:
    breaker = seen.breaker
    return Line(seen, breaker, ask.links("breakers", breaker.scope, breaker.name), strip_of(seen.spells), ramp_of(seen))


def _cursor(key: Key) -> str:
    return urlsafe_b64encode("/".join(key).encode()).decode().rstrip("=")


def _after(ask: Ask) -> Key | None:
    cursor = ask.query.get("cursor")
    if cursor is None:
        return None
    try:
        scope, _, name = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("/")
    except ValueError:
        scope = name = ""
    if scope not in SCOPES or not name or "\x00" in name:
        raise InvalidRequest(errors=[FieldError(pointer="/query/cursor", detail="this is no cursor of ours")])
    return scope, name

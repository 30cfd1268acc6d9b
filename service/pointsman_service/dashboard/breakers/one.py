"""The page of one breaker: what it holds, what failed, what it went through, its policy, and what is set by hand."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.breakers.here import SCOPES, WINDOW_WORDS, WINDOWS, key_of, page, window_of
from pointsman_service.dashboard.breakers.policy import shown_fields
from pointsman_service.dashboard.breakers.strip import strip_of
from pointsman_service.dashboard.breakers.words import name_of, ramp_of, sentence_of, waits_of
from pointsman_service.dashboard.components.figures import label
from pointsman_service.dashboard.page import View
from pointsman_service.errors import FieldError, InvalidRequest
from pointsman_service.observe.breaker_reader import Seen, Whole
from pointsman_service.observe.error_reader import Wanted
from pointsman_service.observe.errors import shown_to

_TURNS: Final = 30
_GROUPS: Final = 8
_DAY_SECONDS: Final = 86_400.0
_HIGHEST: Final = 2**62
FOR: Final[Mapping[str, str]] = {
    "900": "15 min",
    "3600": "1 h",
    "14400": "4 h",
    "86400": "1 day",
    "": "until somebody takes it away",
}
"""How long something stays set by hand, by seconds."""


@page.shows("{scope}/{name}")
async def show_breaker(ask: Ask) -> View:
    """One breaker."""
    key, window, below = key_of(ask), window_of(ask), _below(ask)
    whole, groups = await asyncio.gather(
        ask.parts.views.breakers.find(key, WINDOWS[window], below, _TURNS),
        ask.parts.views.errors.page(
            Wanted(window_seconds=_DAY_SECONDS, blamed=":".join(key), most_first=True), _GROUPS
        ),
    )
    seen = None if whole is None else whole.seen
    breaker = await ask.parts.views.breakers.now(key) if seen is None else seen.breaker
    here = ("breakers", *key)
    return View(
        template="breakers/one.html",
        title=f"{label(breaker.state)}: {breaker.name}",
        says="Nothing was ever reported for it, so it is closed." if seen is None else sentence_of(seen, ask.now),
        values={
            "breaker": breaker,
            "key": key,
            "name": name_of(breaker),
            "scope_word": SCOPES[breaker.scope],
            "known": seen is not None,
            "sentence": "Nothing was ever reported for it, so everything passes."
            if seen is None
            else sentence_of(seen, ask.now),
            "reads": ask.caller.reads_payloads,
            "groups": [shown_to(one, reads_payloads=ask.caller.reads_payloads) for one in groups.groups],
            "errors_href": ask.links("errors", breaker=":".join(key)),
            "held_href": _held_href(ask, key),
            "fields": shown_fields(breaker.policy),
            "waits": waits_of(breaker),
            "for_": FOR,
            "window": window,
            "windows": [(one, words, ask.links(*here, window=one)) for one, words in WINDOW_WORDS.items()],
            **_of(ask, whole, seen, here, below),
        },
    )


def _of(ask: Ask, whole: Whole | None, seen: Seen | None, here: tuple[str, ...], below: int | None) -> dict[str, Any]:
    if whole is None or seen is None:
        return {
            "seen": None,
            "strip_of_states": None,
            "ramp": None,
            "first_held": (),
            "turns": (),
            "first": None,
            "following": None,
        }
    return {
        "seen": seen,
        "strip_of_states": strip_of(seen.spells),
        "ramp": ramp_of(seen),
        "first_held": whole.first,
        "turns": whole.turns,
        "first": None if below is None else ask.links(*here),
        "following": None if whole.following is None else ask.links(*here, below=whole.following),
    }


def _held_href(ask: Ask, key: tuple[str, str]) -> str:
    return ask.links("tasks", state="held", held_reason=f"breaker:{':'.join(key)}")


def _below(ask: Ask) -> int | None:
    text = ask.query.get("below")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < len(str(_HIGHEST))):
        raise InvalidRequest(errors=[FieldError(pointer="/query/below", detail="this is no place of ours")])
    return int(text)

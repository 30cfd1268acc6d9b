"""The policy of a breaker as a form: what is wrong with a field is shown beside what was typed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.breakers.here import key_of, page
from pointsman_service.dashboard.breakers.words import name_of
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import number, percent
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.errors import PolicyChanged
from pointsman_service.observe.breaker_reader import BreakerPolicy, Key
from pointsman_service.observe.breakers import BreakerNow
from pointsman_service.operate.act import ActKind

_NAMES: Final = ("expected_exception", "ignored_exceptions")
_NONE: Final = ("failure_threshold", "window_seconds", "failure_rate", "slow_call_seconds", "slow_call_rate")
"""What may be left empty: then it does not count."""
_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "failure_threshold": ("Failures in a row that open it", "empty: only the rates below"),
    "recovery_timeout": ("Seconds until it is tried again", ""),
    "recovery_timeout_max": ("Seconds at most, as that doubles", ""),
    "recovery_jitter": ("Share of that added by chance", "0 to 1"),
    "half_open_permits": ("Probes at once", ""),
    "half_open_successes": ("Probes that close it", ""),
    "permit_seconds": ("Seconds that a probe may take", ""),
    "release_per_second": ("Held tasks a second, at first", "doubles every 5 s"),
    "expected_exception": ("Exceptions that count", "names, with commas"),
    "ignored_exceptions": ("Exceptions that do not", "names, with commas"),
    "window_seconds": ("Window of the rates, in seconds", "empty: no rates"),
    "minimum_calls": ("Calls that make a rate", ""),
    "failure_rate": ("Share of failures that opens it", "0 to 1"),
    "slow_call_seconds": ("A call is slow after, in seconds", ""),
    "slow_call_rate": ("Share of slow calls that opens it", "0 to 1"),
}


_READ: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "recovery_timeout": ("Tried again after", duration),
    "recovery_timeout_max": ("At most, as that doubles", duration),
    "recovery_jitter": ("Added to that by chance, at most", percent),
    "permit_seconds": ("A probe may take", duration),
    "release_per_second": ("Held tasks let go at first", lambda value: f"{number(value)} a second"),
    "window_seconds": ("Window of the rates", duration),
    "failure_rate": ("Share of failures that opens it", percent),
    "slow_call_seconds": ("A call is slow after", duration),
    "slow_call_rate": ("Share of slow calls that opens it", percent),
}
"""How those are told whose field has its unit in its words."""
_OF_RATES: Final = frozenset({"minimum_calls", "failure_rate", "slow_call_seconds", "slow_call_rate"})
"""What counts only where there is a window."""


@dataclass(frozen=True)
class Field:
    """One setting of a policy."""

    name: str
    words: str
    hint: str
    value: str


@dataclass(frozen=True)
class Told:
    """One setting of a policy to be read."""

    words: str
    value: str


def text_of(value: object) -> str:
    """A setting as a field has it."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) and abs(value) < 100_000 else str(value)


def shown_fields(policy: BreakerPolicy) -> list[Told]:
    """The settings that count, in words and with their units."""
    without = frozenset() if policy.window_seconds else _OF_RATES
    found = [(name, getattr(policy, name)) for name in _FIELDS if name not in without]
    return [_told(name, value) for name, value in found if text_of(value)]


def _told(name: str, value: Any) -> Told:
    words, write = _READ.get(name, (_FIELDS[name][0], text_of))
    return Told(words, write(value))


@page.shows("{scope}/{name}/policy")
async def show_policy(ask: Ask) -> View:
    """The form."""
    return await _form(ask, key_of(ask), [])


@page.acts("{scope}/{name}/policy", ActKind.SET_POLICY)
async def set_policy(ask: Ask) -> Done | View:
    """Give it a policy of its own; the undo gives back what it had."""
    key = key_of(ask)
    given = {name: ask.form.get(name, "").strip() for name in _FIELDS}
    try:
        policy = BreakerPolicy.model_validate(_values(given))
    except ValidationError as error:
        return await _form(ask, key, [_fault(one) for one in error.errors()])
    hand = ask.parts.breaker_hand
    await hand.check_guarded(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    try:
        made = await hand.set_policy(ask.caller, key, policy, _same(ask), ask.reason("set in the dashboard"))
    except PolicyChanged:
        return await _form(ask, key, [("", "somebody changed it meanwhile: look at it again")])
    return Done(
        text=f"The policy is set: {name_of(before)}.",
        path=place("breakers", *key),
        undo=_undo(key, before, made.policy_version),
    )


@page.acts("{scope}/{name}/policy/unset", ActKind.UNSET_POLICY)
async def unset_policy(ask: Ask) -> Done:
    """Give it the default again."""
    key = key_of(ask)
    hand = ask.parts.breaker_hand
    await hand.check_known(ask.caller, key)
    before = await ask.parts.views.breakers.now(key)
    made = await hand.set_policy(ask.caller, key, None, _same(ask), ask.reason("the default, in the dashboard"))
    return Done(
        text=f"It has the default policy again: {name_of(before)}.",
        path=place("breakers", *key),
        undo=_undo(key, before, made.policy_version) if before.has_own_policy else None,
    )


async def _form(ask: Ask, key: Key, faults: list[tuple[str, str]]) -> View:
    breaker = await ask.parts.views.breakers.now(key)
    given = _texts(breaker.policy)
    if faults or ask.refused is not None:
        given |= {name: ask.form[name] for name in _FIELDS if name in ask.form}
    return View(
        template="breakers/policy.html",
        title=f"policy of {breaker.name}",
        status=422 if faults else 200,
        values={
            "breaker": breaker,
            "key": key,
            "name": name_of(breaker),
            "fields": _fields(given),
            "labels": {name: words for name, (words, _) in _FIELDS.items()},
            "wrong": {name for name, _ in faults},
            "faults": faults,
            "version": breaker.policy_version,
            "reason": ask.form.get("reason", ""),
        },
    )


def _fields(given: Mapping[str, str]) -> list[Field]:
    return [Field(name, words, hint, given[name]) for name, (words, hint) in _FIELDS.items()]


def _texts(policy: BreakerPolicy) -> dict[str, str]:
    return {name: text_of(getattr(policy, name)) for name in _FIELDS}


def _values(given: Mapping[str, str]) -> dict[str, Any]:
    """As the policy reads them: what is left out takes its default, what may be none is none."""
    found: dict[str, Any] = {}
    for name, text in given.items():
        if name in _NAMES:
            names = [one.strip() for one in text.replace(";", ",").split(",") if one.strip()]
            if names or name == "ignored_exceptions":
                found[name] = names
        elif text:
            found[name] = text
        elif name in _NONE:
            found[name] = None
    return found


def _fault(error: Mapping[str, Any]) -> tuple[str, str]:
    """The field that is wrong, and why, as a sentence that goes on."""
    why = str(error["msg"]).removeprefix("Value error, ")
    return str(error["loc"][0]) if error["loc"] else "", why[:1].lower() + why[1:]


def _same(ask: Ask) -> Any:
    """What has to hold: nobody changed the policy since the form was made."""
    version = ask.form.get("version", "")

    def check(entry: Any) -> None:
        if version and str(entry.policy_version) != version:
            raise PolicyChanged

    return check


def _undo(key: Key, before: BreakerNow, version: int) -> Undo:
    fields = {"version": str(version), "reason": "undone in the dashboard"}
    if before.has_own_policy:
        return Undo(place("breakers", *key, "policy"), _texts(before.policy) | fields)
    return Undo(place("breakers", *key, "policy", "unset"), fields)

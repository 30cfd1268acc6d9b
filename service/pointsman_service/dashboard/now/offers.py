"""What a remedy is done by, there where the cause is told: one click for what can be taken back or ends by itself, and
for all else the page that asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pointsman_service.dashboard.asking import NO_REASON
from pointsman_service.dashboard.links import place
from pointsman_service.now.picture import Link, Remedy

_HERE: Final = {"back": "now"}
_WHY: Final = {"reason": NO_REASON}


@dataclass(frozen=True)
class Offer:
    """What somebody can click."""

    act: str
    label: str
    path: str
    """Below the dashboard."""
    says: str
    """What it does, whole."""
    asks: bool = False
    """It leads to a page that asks; else it is done."""
    fields: Mapping[str, str] = field(default_factory=dict)


class _Click(NamedTuple):
    """What is done below the page of what it is done to."""

    verb: str
    label: str
    fields: Mapping[str, str] = _HERE


_CLICKS: Final[Mapping[str, _Click]] = {
    "resume_queue": _Click("resume", "Resume"),
    "pause_queue": _Click("pause", "Pause"),
    "probe_breaker": _Click("probe", "Try it now"),
    "force_breaker_open": _Click("force-open", "Keep it open", _HERE | _WHY),
    "disable_breaker": _Click("disable", "Disable", _HERE | _WHY),
    "reset_breaker": _Click("reset", "Take it back"),
    "admit_worker": _Click("admit", "Let it back"),
    "resolve_error": _Click("resolve", "Resolve"),
}
_ASKED: Final[Mapping[str, tuple[str, Callable[[str, Link], str]]]] = {
    "force_breaker_closed": ("Close it…", lambda path, _: f"{path}#by-hand"),
    "cancel_task": ("Cancel it…", lambda path, _: f"{path}/cancel"),
    "cancel_tasks": ("Cancel them…", lambda _, link: place("tasks", "many", "cancel", **link.filter)),
    "retry_tasks": ("Run them again…", lambda _, link: place("tasks", "many", "retry", **link.filter)),
}


def offer_of(remedy: Remedy, target: Callable[[Link | None], str | None]) -> Offer | None:
    """What does it; None: nothing that can be clicked. ``target`` is the page of a link, if there is one."""
    path = target(remedy.link)
    if remedy.act is None or remedy.link is None or path is None:
        return None
    click = _CLICKS.get(remedy.act)
    if click is not None:
        return Offer(remedy.act, click.label, f"{path}/{click.verb}", remedy.text, fields=click.fields)
    if remedy.act not in _ASKED:
        return None
    label, made = _ASKED[remedy.act]
    return Offer(remedy.act, label, made(path, remedy.link), remedy.text, asks=True)

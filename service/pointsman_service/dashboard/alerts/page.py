"""Alerts: the open ones, what was told of them to whom, those that are over; acknowledge, silence."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from pointsman_service.access.scopes import KeyScope
from pointsman_service.alert.alert import Alert, alert_of, without_errors
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.alert.reading import Page as Listed
from pointsman_service.api.requests.ids import id_of
from pointsman_service.dashboard.asking import NAME_LENGTH, Ask
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.components.figures import label, some
from pointsman_service.dashboard.components.moments import clock
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Hit, Pace, Page, Undo, View
from pointsman_service.errors import AlertResolved, FieldError, InvalidRequest, UnknownAlert
from pointsman_service.live.topics import Topic
from pointsman_service.now.causes import link_of
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.handle_alerts import AlertRow, SilenceRow

page = Page(
    "alerts",
    "Alerts",
    key="a",
    question="What was told to whom?",
    pace=Pace(frozenset({Topic.ALERTS})),
    reads=KeyScope.ALERTS_READ,
)

SILENCES: Final[Mapping[str, str]] = {
    "900": "15 min",
    "3600": "1 h",
    "14400": "4 h",
    "86400": "1 day",
    "604800": "7 days",
}
"""What a silence lasts, by seconds."""
_SEEN: Final = "seen in the dashboard"
_LONGEST_SECONDS: Final = 366 * 86_400.0
_MOST_OPEN: Final = 200
_MOST_TOGETHER: Final = 50
"""Alerts of one cause."""
_MESSAGES: Final = 10
_FILTERS: Final[Mapping[str, Mapping[str, str]]] = {
    "severity": {str(one): str(one) for one in Severity},
    "rule": {str(one): label(one) for one in Rule},
    "known": {"yes": "acknowledged", "no": "not acknowledged"},
}


@page.shows()
async def show_list(ask: Ask) -> View:
    """The open ones, messages and silences; then those that are over, a page at a time."""
    chosen = {name: ask.chosen(name, among) for name, among in _FILTERS.items()}
    known = None if chosen["known"] is None else chosen["known"] == "yes"
    cursor = ask.cursor()
    reader = ask.parts.alert_reader
    severity, rule = chosen["severity"], chosen["rule"]
    opened, over, told, silences = await asyncio.gather(
        reader.page(resolved=False, acknowledged=known, severity=severity, rule=rule, limit=_MOST_OPEN),
        _over(ask, acknowledged=known, severity=severity, rule=rule, below=cursor),
        reader.deliveries(limit=_MESSAGES),
        reader.silences(),
    )
    count = len(opened.items)
    filtered = any(chosen.values())
    more = opened.following is not None
    return View(
        template="alerts/list.html",
        title=f"{count}{'+' if more else ''} open" if count else "all quiet",
        says=f"{some(count, 'alert')}{' or more' if more else ''} {'is' if count == 1 else 'are'} open."
        if count
        else "No alert is open.",
        values={
            "opened": [_shown(ask, one) for one in opened.items],
            "more_open": more,
            "over": over,
            "first": None if cursor is None else ask.links("alerts", **chosen),
            "following": None
            if over is None or over.following is None
            else ask.links("alerts", **chosen, cursor=over.following),
            "messages": told.items,
            "silences": silences,
            "channels": _channels(ask),
            "filters": _FILTERS,
            "chosen": chosen,
            "chips": [
                (_FILTERS[name][value], ask.links("alerts", **(chosen | {name: None})))
                for name, value in chosen.items()
                if value
            ],
            "filtered": filtered,
        },
    )


@page.shows("{alert_id:uuid}")
async def show_alert(ask: Ask) -> View:
    """One alert: what it is, what to do, what was told of it."""
    alert_id: UUID = ask.names["alert_id"]
    reader = ask.parts.alert_reader
    found, told = await asyncio.gather(reader.find(alert_id), reader.deliveries(alert_id=alert_id))
    alert = _shown(ask, found)
    return View(
        template="alerts/alert.html",
        title=f"{'open' if alert.is_open else 'over'}: {alert.subject or label(alert.rule)}",
        says=_sentence(alert),
        values={
            "alert": alert,
            "about": link_of(alert.link),
            "messages": told.items,
            "channels": _channels(ask),
            "silences_for": SILENCES,
            "leads_to": [_led(key) for key in alert.also],
        },
    )


@page.acts("{alert_id:uuid}/acknowledge", ActKind.ACKNOWLEDGE)
async def acknowledge(ask: Ask) -> Done:
    """Say that somebody knows; it is not told again."""
    alert_id: UUID = ask.names["alert_id"]
    reason, who, hand = ask.reason(_SEEN), ask.said("who", NAME_LENGTH), ask.parts.alert_hand
    row, is_new = await hand.acknowledge(ask.caller, alert_id, reason, who)
    for other in _also(ask):
        with suppress(AlertResolved, UnknownAlert):
            await hand.acknowledge(ask.caller, other, reason, who)
    back = {"back": ask.form.get("back", ""), "also": ask.form.get("also", "")}
    return Done(
        text=f"Acknowledged by {row.acked_by}: {_summary(ask, row)}",
        path=_after(ask, alert_id),
        undo=Undo(place("alerts", alert_id, "unacknowledge"), back) if is_new else None,
    )


@page.acts("{alert_id:uuid}/unacknowledge", ActKind.UNACKNOWLEDGE)
async def unacknowledge(ask: Ask) -> Done:
    """Let it be told again, for nobody knows of it."""
    alert_id: UUID = ask.names["alert_id"]
    reason, hand = ask.reason("undone in the dashboard"), ask.parts.alert_hand
    known = (await ask.parts.alert_reader.find(alert_id)).acknowledged
    row = await hand.unacknowledge(ask.caller, alert_id, reason)
    for other in _also(ask):
        with suppress(AlertResolved, UnknownAlert):
            await hand.unacknowledge(ask.caller, other, reason)
    fields = {"back": ask.form.get("back", ""), "also": ask.form.get("also", "")}
    undo = None
    if known is not None:
        fields["reason"] = ask.reason_of(known.reason, known.who)
        undo = Undo(place("alerts", alert_id, "acknowledge"), fields)
    return Done(text=f"Known to nobody again: {_summary(ask, row)}", path=_after(ask, alert_id), undo=undo)


@page.acts("{alert_id:uuid}/silence", ActKind.SILENCE)
async def silence(ask: Ask) -> Done:
    """Tell nobody of it for a while."""
    alert_id: UUID = ask.names["alert_id"]
    seconds = ask.number("seconds", 1, _LONGEST_SECONDS)
    made = await ask.parts.alert_hand.silence(
        ask.caller, alert_id, ask.reason(_SEEN), None, whole_rule=ask.form.get("of") == "rule", seconds=seconds
    )
    return Done(
        text=f"Nobody is told of {made.matcher} for {duration(seconds)}.",
        path=_after(ask, alert_id),
        undo=Undo(place("alerts", alert_id, "unsilence"), {"back": ask.form.get("back", ""), "only": str(made.id)}),
    )


@page.acts("{alert_id:uuid}/unsilence", ActKind.UNSILENCE)
async def unsilence(ask: Ask) -> Done:
    """Let it be told again."""
    alert_id: UUID = ask.names["alert_id"]
    only = _only(ask)
    silences = [one for one in await ask.parts.alert_reader.silences() if only in (None, one.id)]
    row = await ask.parts.alert_hand.unsilence(ask.caller, alert_id, ask.reason("undone in the dashboard"), only)
    told = "Told again from now on"
    if row.silenced_until is not None:
        told = f"Another silence goes on until {clock(row.silenced_until, ask.now)} UTC"
    return Done(
        text=f"{told}: {_summary(ask, row)}",
        path=_after(ask, alert_id),
        undo=_silenced_again(ask, row, silences),
    )


@page.finds
async def find(ask: Ask, words: str) -> list[Hit]:
    """An alert by its id, and rules by their names."""
    try:
        alert = _shown(ask, await ask.parts.alert_reader.find(UUID(words)))
    except (ValueError, UnknownAlert):
        low = words.lower().replace(" ", "_")
        return [Hit(label(rule), place("alerts", rule=rule), "rule of alerts") for rule in Rule if low in rule]
    return [Hit(alert.summary, place("alerts", alert.id), "alert")]


def _channels(ask: Ask) -> list[str]:
    return [channel.name for channel in ask.parts.settings.alert_channels]


def _shown(ask: Ask, alert: Alert) -> Alert:
    return alert if ask.caller.reads_payloads else without_errors(alert)


def _summary(ask: Ask, row: AlertRow) -> str:
    return _shown(ask, alert_of(row)).summary


def _silenced_again(ask: Ask, alert: AlertRow, silences: Sequence[SilenceRow]) -> Undo | None:
    """What silences it as it was, for the time that was left; None: it was not."""
    ended = [one for one in silences if one.matcher in (alert.key, alert.rule)]
    if not ended:
        return None
    longest = max(ended, key=lambda one: one.until)
    fields = {
        "back": ask.form.get("back", ""),
        "seconds": f"{max((longest.until - ask.now).total_seconds(), 1.0):.0f}",
        "of": "cause" if longest.matcher == alert.key else "rule",
        "reason": ask.reason_of(longest.reason, longest.actor),
    }
    return Undo(place("alerts", alert.id, "silence"), fields)


async def _over(ask: Ask, **wanted: Any) -> Listed[Alert] | None:
    """Those that are over; None for a stream, of which they are no part."""
    return None if ask.live else await ask.parts.alert_reader.page(resolved=True, **wanted)


def _also(ask: Ask) -> Sequence[UUID]:
    """Alerts that tell of the same cause, by the form's field ``also``. Raises ``InvalidRequest``."""
    ids = [id_of(one) for one in ask.form.get("also", "").split()[:_MOST_TOGETHER]]
    found = [one for one in ids if one is not None]
    if len(found) < len(ids):
        raise InvalidRequest(errors=[FieldError(pointer="/also", detail="must be ids of alerts")])
    return found


def _only(ask: Ask) -> UUID | None:
    """The one silence that is to end, by the form's field ``only``. Raises ``InvalidRequest``."""
    given = ask.form.get("only", "")
    found = id_of(given) if given else None
    if given and found is None:
        raise InvalidRequest(errors=[FieldError(pointer="/only", detail="must be the id of a silence")])
    return found


def _after(ask: Ask, alert_id: UUID) -> str:
    return ask.back(place("alerts"), place("alerts", alert_id))


def _led(key: str) -> tuple[str, str | None]:
    """What an alert leads to, as people read it, and where there is more of it: of errors, their group."""
    rule, _, subject = key.partition(":")
    about, _, group = subject.partition("#")
    return f"{label(rule)}: {about}" if about else label(rule), place("errors", group) if group else None


def _sentence(alert: Alert) -> str:
    return alert.summary if alert.is_open else f"It is over: {alert.was}"

"""What is decided about a group: it is mended, need not be told, or is to be looked at. Each can be taken back."""

from datetime import datetime, timedelta
from uuid import UUID

from pointsman_service.api.requests.parameters import bounded
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.moments import machine, moment_of
from pointsman_service.dashboard.errors.here import USUAL_WINDOW, WINDOWS, page
from pointsman_service.dashboard.errors.listing import filter_of
from pointsman_service.dashboard.errors.one import group_view
from pointsman_service.dashboard.errors.standing import name_of
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.errors import FieldError, InvalidRequest
from pointsman_service.observe.errors import ErrorGroup, shown_to
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.judge_errors import GroupState, IgnoreLimit

_LONGEST_SECONDS = 366 * 86_400.0
_MOST_AN_HOUR = 10**9
_MOST_OCCURRENCES = 10**12
_PATHS = {GroupState.OPEN: "reopen", GroupState.RESOLVED: "resolve", GroupState.IGNORED: "ignore"}
_SAID = {GroupState.OPEN: "Open again", GroupState.RESOLVED: "Resolved", GroupState.IGNORED: "Ignored"}


@page.acts("{group_id:uuid}/resolve", ActKind.RESOLVE_ERROR)
async def resolve(ask: Ask) -> Done:
    """It is mended; what fails so after this opens it again."""
    return await _judge(ask, GroupState.RESOLVED, ask.reason("resolved in the dashboard"))


@page.acts("{group_id:uuid}/reopen", ActKind.REOPEN_ERROR)
async def reopen(ask: Ask) -> Done:
    """It is to be looked at after all."""
    return await _judge(ask, GroupState.OPEN, ask.reason("opened again in the dashboard"))


@page.acts("{group_id:uuid}/ignore", ActKind.IGNORE_ERROR)
async def ignore(ask: Ask) -> Done | View:
    """Nobody is told of it until a moment, a rate or a number, whichever comes first."""
    try:
        reason, limit = ask.reason(), _limit(ask)
    except InvalidRequest as error:
        return await group_view(ask, error)
    return await _judge(ask, GroupState.IGNORED, reason, limit)


async def _judge(ask: Ask, state: GroupState, reason: str, limit: IgnoreLimit | None = None) -> Done:
    group_id: UUID = ask.names["group_id"]
    before = (await ask.parts.views.errors.find(group_id, WINDOWS[USUAL_WINDOW])).group
    await ask.parts.error_hand.set_state(ask.caller, group_id, state, reason, None, limit)
    back = ask.form.get("back", "")
    query = filter_of(ask)
    changed = before.state is not state or state is GroupState.IGNORED
    return Done(
        text=f"{_SAID[state]}: {name_of(shown_to(before, reads_payloads=ask.caller.reads_payloads))}",
        path=ask.back(place("errors", **query), place("errors", group_id, window=query["window"])),
        undo=_undo(ask, before, query, back) if changed else None,
    )


def _undo(ask: Ask, before: ErrorGroup, query: dict[str, object], back: str) -> Undo:
    """What makes it again what it was."""
    fields = {"back": back}
    if before.state is not GroupState.OPEN and before.set_reason:
        fields["reason"] = ask.reason_of(before.set_reason, before.set_by)
    ignored = before.ignored
    if before.state is GroupState.IGNORED and ignored is not None:
        fields.setdefault("reason", "ignored again")
        fields |= {"per_hour": _text(ignored.per_hour), "count": _text(ignored.count)}
        fields["at"] = "" if ignored.until is None else machine(ignored.until)
    return Undo(place("errors", before.id, _PATHS[before.state], **query), fields)


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _limit(ask: Ask) -> IgnoreLimit:
    """Raises ``InvalidRequest``."""
    until: datetime | None = None
    if ask.form.get("at", "").strip():
        try:
            until = bounded(moment_of(ask.form["at"].strip()))
        except ValueError as error:
            raise _fault("at", "a date and a time, as 2026-11-29T08:30") from error
        if until is None or until <= ask.now:
            raise _fault("at", "must be in the future")
    elif ask.form.get("seconds", "").strip():
        until = ask.now + timedelta(seconds=ask.number("seconds", 1, _LONGEST_SECONDS))
    return IgnoreLimit(until, _whole(ask, "per_hour", _MOST_AN_HOUR), _whole(ask, "count", _MOST_OCCURRENCES))


def _whole(ask: Ask, name: str, most: int) -> int | None:
    if not ask.form.get(name, "").strip():
        return None
    return ask.whole(name, 1, most)


def _fault(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=f"/{name}", detail=detail)])

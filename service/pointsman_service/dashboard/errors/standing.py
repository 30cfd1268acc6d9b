"""What a group is to people, in one word with its tone, and what ends that nobody is told of it."""

from datetime import datetime

from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.moments import clock
from pointsman_service.dashboard.components.states import BAD, HELD, OK, WARN
from pointsman_service.observe.errors import ErrorGroup, Ignored
from pointsman_service.operate.judge_errors import GroupState


def word_of(group: ErrorGroup) -> tuple[str, str]:
    """The word and its tone: what is news is told from what is known to be open."""
    if group.state is GroupState.RESOLVED:
        return "resolved", OK
    if group.state is GroupState.IGNORED:
        return "ignored", HELD
    if group.is_back_again:
        return "back again", BAD
    return ("new", BAD) if group.is_new else ("open", WARN)


def name_of(group: ErrorGroup) -> str:
    """``KeyError: <text>``; without what differs each time."""
    kind = group.error_type or "Other errors"
    return f"{kind}: {group.message}" if group.message else kind


def limit_of(ignored: Ignored | None, now: datetime) -> str:
    """Until when it is ignored, in words: whichever comes first."""
    if ignored is None:
        return ""
    said = []
    if ignored.until is not None:
        said.append(f"until {clock(ignored.until, now)} UTC")
    if ignored.per_hour is not None:
        said.append(f"while it fails {some(ignored.per_hour, 'time')} an hour at most")
    if ignored.count is not None:
        said.append(f"for {some(ignored.count, 'more failure')}")
    return ", ".join(said) or "until somebody opens it"

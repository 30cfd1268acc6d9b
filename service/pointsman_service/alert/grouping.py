"""One cause that shows in a thousand places is one alert, not a thousand. Pure."""

from collections.abc import Collection, Sequence

from pointsman_service.alert.conditions import Condition, severity_of
from pointsman_service.alert.kinds import Rule, Severity

MOST_APART = 10
"""So many alerts of one rule stand for themselves; what comes beyond them is told together."""
_NAMED = 5


def grouped(
    rule: Rule,
    found: Sequence[Condition],
    open_keys: Collection[str],
    what: str,
    link: str,
    *,
    complete: bool = True,
) -> list[Condition]:
    """The conditions of one rule, in order: those beyond the first ten as one, whose key is the rule alone.

    One that has an alert already keeps it, and while there is an alert about many what is new belongs to that. ``what``
    says in the plural what is wrong with them. Not ``complete``: there are more than were looked at.
    """
    apart = [one for one in found if one.key in open_keys]
    new = [one for one in found if one.key not in open_keys]
    if not new or (len(found) <= MOST_APART and str(rule) not in open_keys):
        return list(found)
    names = ", ".join(one.subject for one in new[:_NAMED]) + (", …" if len(new) > _NAMED else "")
    beside = ", beside those with an alert of their own" if apart else ""
    many = Condition(
        rule,
        "",
        f"{'' if complete else 'More than '}{len(new):,} {what}{beside}: {names}.",
        link,
        since=min((one.since for one in new if one.since is not None), default=None),
        value=len(new),
        severity=Severity.TICKET if all(one.severity is Severity.TICKET for one in new) else None,
    )
    return [*apart, many]


def together(
    rule: Rule, found: Sequence[Condition], open_keys: Collection[str], summary: str, link: str
) -> tuple[list[Condition], dict[str, str]]:
    """The conditions of one rule as one, whose key is the rule alone, when there are several or were while it is open;
    and by the keys of those that have an alert of their own, that key: they belong to it.

    ``summary`` says what is wrong with all of them.
    """
    if not found or (len(found) == 1 and str(rule) not in open_keys):
        return list(found), {}
    severities = {severity_of(one) for one in found}
    one = Condition(
        rule,
        "",
        summary,
        link,
        since=min((one.since for one in found if one.since is not None), default=None),
        value=len(found),
        severity=Severity.PAGE if Severity.PAGE in severities else Severity.TICKET,
        certain=any(one.certain for one in found),
    )
    return [one], {one.key: str(rule) for one in found if one.key in open_keys}

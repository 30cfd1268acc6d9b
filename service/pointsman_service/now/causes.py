"""From open alerts to what is said of them. Pure."""

from urllib.parse import parse_qsl, unquote, urlsplit

from pointsman_service.alert.alert import Alert
from pointsman_service.alert.causes import RANK
from pointsman_service.now.picture import Acknowledged, Cause, Link, LinkKind, Part, Remedy, Urgency

_LISTS = {
    "alerts": LinkKind.ALERTS,
    "breakers": LinkKind.BREAKERS,
    "dead-letters": LinkKind.DEAD_LETTERS,
    "errors": LinkKind.ERRORS,
    "queues": LinkKind.QUEUES,
    "tasks": LinkKind.TASKS,
    "workers": LinkKind.WORKERS,
}
_ONE = {
    "alerts": LinkKind.ALERT,
    "breakers": LinkKind.BREAKER,
    "errors": LinkKind.ERROR,
    "queues": LinkKind.QUEUE,
    "tasks": LinkKind.TASK,
    "workers": LinkKind.WORKER,
}
_ORDER = {severity: place for place, severity in enumerate(Urgency)}


def link_of(path: str) -> Link:
    """The object behind a path of the API."""
    found = urlsplit(path)
    _, version, *words = found.path.split("/")
    if version != "v1" or not words:
        return Link(LinkKind.READINESS)
    room, *rest = map(unquote, words)
    if not rest:
        return Link(_LISTS[room], filter=dict(parse_qsl(found.query)))
    return Link(_ONE[room], ":".join(rest))


def of_alert(alert: Alert) -> Cause:
    """What an alert says."""
    known = alert.acknowledged
    return Cause(
        severity=Urgency(alert.severity),
        kind=alert.rule,
        subject=alert.subject,
        since=alert.since,
        parts=(Part(alert.summary, link_of(alert.link)),),
        remedies=(Remedy(alert.next_step, Link(LinkKind.DOCUMENT, alert.documentation)),) if alert.next_step else (),
        alert_ids=(alert.id,),
        acknowledged=None if known is None else Acknowledged(known.at, known.who, known.reason),
        documentation=alert.documentation,
    )


def worst_first(causes: list[Cause]) -> tuple[Cause, ...]:
    """In the order of reading: by who has to know, then causes before what they may lead to."""
    return tuple(sorted(causes, key=lambda one: (_ORDER[one.severity], RANK.get(one.kind, len(RANK)), one.subject)))

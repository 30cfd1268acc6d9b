"""Facts of one moment, for tests that change one thing of them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pointsman_contract.states import UNFINISHED, TaskState
from pointsman_service.alert.alert import Alert, alert_of
from pointsman_service.alert.conditions import key_of
from pointsman_service.alert.kinds import KINDS, Rule
from pointsman_service.now.picture import Cause, Now, said
from pointsman_service.observe.queues import HeldFigures, QueueFigures
from pointsman_service.store.alerts.alerts import AlertRow

NOW = datetime(2026, 11, 26, 12, 44, 11, tzinfo=UTC)
TASK = "01a20271-c811-71a5-99c0-510fde22a57d"
GROUP = UUID("5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77")


def ago(seconds: float) -> datetime:
    """A moment so long before ``NOW``."""
    return NOW - timedelta(seconds=seconds)


def alert(rule: Rule, subject: str = "", *, seconds: float = 60.0, link: str = "/readyz?verbose", **more: Any) -> Alert:
    """An open alert of this rule, since so long."""
    row: dict[str, Any] = dict.fromkeys(AlertRow.__dataclass_fields__) | {
        "id": UUID(int=list(Rule).index(rule) + 1),
        "key": key_of(rule, subject),
        "rule": str(rule),
        "subject": subject,
        "severity": str(KINDS[rule].severity),
        "summary": f"The summary of {rule}.",
        "unit": "",
        "link": link,
        "since": ago(seconds),
        "opened_at": ago(seconds - 1),
        "updated_at": ago(seconds - 1),
        "also": (),
    }
    return alert_of(AlertRow(**(row | more)))


def queue(name: str, *, sla: float = 10.0, held_by: dict[str, int] | None = None, **more: Any) -> QueueFigures:
    """A queue on which nothing waits."""
    states = {str(state): 0 for state in TaskState if state in UNFINISHED} | more.pop("states", {})
    states["held"] = sum((held_by or {}).values())
    fields: dict[str, Any] = {
        "name": name,
        "priority": 5,
        "sla_seconds": sla,
        "depth": 0,
        "waiting": 0,
        "on_broker": 0,
        "running": 0,
        "window": 100,
        "oldest_wait_seconds": None,
        "arrival_rate": 0.0,
        "service_rate": 0.0,
        "states": states,
        "held_by": [HeldFigures(reason, tasks) for reason, tasks in (held_by or {}).items()],
        "sla_attainment": None,
        "consumers": 1,
        "set_aside": 0,
        "paused": False,
        "paused_at": None,
        "paused_by": None,
        "pause_reason": None,
    }
    return QueueFigures(**(fields | more))


def whole(cause: Cause) -> str:
    """All that is said of a cause, a line each."""
    acts = [
        f"- {one.text}{f' [{one.command}]' if one.command else ''}{f' <{one.act}>' if one.act else ''}"
        for one in cause.remedies
    ]
    return "\n".join([said(cause.parts), *map(said, cause.consequences), said(cause.being_done), *acts])


def only(now: Now) -> Cause:
    """The one cause of a page."""
    (cause,) = now.causes
    return cause


def links(cause: Cause) -> set[tuple[str, str | None]]:
    """Where the sentence of a cause and those beneath it lead."""
    parts = [part for sentence in (cause.parts, *cause.consequences) for part in sentence]
    return {(str(part.link.kind), part.link.name) for part in parts if part.link is not None}

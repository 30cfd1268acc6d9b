"""What is said about an alert: the same words in the API, in messages and in the log."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pointsman_service.alert.alert import Alert, alert_of
from pointsman_service.observe.spans import span
from pointsman_service.store.alerts.alerts import AlertRow


class Event(StrEnum):
    """Why somebody is told."""

    OPENED = "opened"
    REPEATED = "repeated"
    """It is still open, and nobody acknowledged it."""
    RESOLVED = "resolved"
    TEST = "test"


_LEAD = {
    Event.OPENED: "Alert",
    Event.REPEATED: "Still open",
    Event.RESOLVED: "Resolved",
    Event.TEST: "Test",
}


def facts_of(alert: Alert) -> dict[str, Any]:
    """What everybody is told of an alert: plain JSON values."""
    return {
        "id": str(alert.id),
        "key": alert.key,
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "summary": alert.summary,
        "value": alert.value,
        "limit": alert.limit,
        "unit": alert.unit,
        "since": moment(alert.since),
        "opened_at": moment(alert.opened_at),
        "resolved_at": moment(alert.resolved_at),
        "also": list(alert.also),
        "part_of": alert.part_of,
        "next_step": alert.next_step,
        "documentation": alert.documentation,
    }


def message_of(alert: AlertRow, event: Event, base_url: str | None) -> dict[str, Any]:
    """The ``data`` of a message: plain JSON values."""
    found = alert_of(alert)
    said = {"event": str(event), **facts_of(found), "link": (base_url or "").rstrip("/") + alert.link}
    if event is Event.RESOLVED and found.resolved_at is not None:
        lasted = (found.resolved_at - found.since).total_seconds()
        said |= {"lasted_seconds": round(max(lasted, 0.0), 1), "was": found.was}
    return said


def test_message(channel: str, at: datetime) -> dict[str, Any]:
    """What a channel is sent to see whether it works."""
    return {
        "event": str(Event.TEST),
        "id": None,
        "key": "test",
        "rule": "test",
        "subject": channel,
        "severity": "ticket",
        "summary": f"This is a test of the channel {channel}. Nothing is wrong.",
        "value": None,
        "limit": None,
        "unit": "",
        "since": moment(at),
        "opened_at": moment(at),
        "resolved_at": None,
        "next_step": "Nothing.",
        "documentation": "docs/alerts.md",
        "link": "",
    }


def subject_line(message: Mapping[str, Any]) -> str:
    """One line for a person."""
    lead = _LEAD[Event(message["event"])]
    if message.get("was") is None:
        return f"[{message['severity']}] {lead}: {message['summary']}"
    if message["part_of"] is not None:
        return f"[{message['severity']}] Told from now on with {message['part_of']}: {message['was']}"
    return f"[{message['severity']}] {lead} after {span(message['lasted_seconds'])}: {message['was']}"


def text_of(message: Mapping[str, Any]) -> str:
    """A few lines for a person."""
    lines = [subject_line(message), ""]
    if message.get("was") is not None:
        lines.append(f"It was: {message['summary']}")
    lines.append(f"Since: {message['since']}")
    if message["resolved_at"] is not None:
        lines.append(f"Until: {message['resolved_at']}")
    if message["value"] is not None:
        limit = "" if message["limit"] is None else f" (limit {message['limit']:g}{_unit(message)})"
        lines.append(f"Value: {message['value']:g}{_unit(message)}{limit}")
    if message.get("also"):
        lines.append(f"Also: {', '.join(message['also'])}")
    if message["event"] != Event.RESOLVED:
        lines.append(f"Next: {message['next_step']} See {message['documentation']}")
    if message["link"]:
        lines.append(f"Look: {message['link']}")
    return "\n".join(lines)


def moment(at: datetime | None) -> str | None:
    """ISO 8601 in UTC, ending in Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _unit(message: Mapping[str, Any]) -> str:
    return f" {message['unit']}" if message["unit"] else ""

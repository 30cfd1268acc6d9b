"""What is said about an alert: the same words in the API, in messages and in the log."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pointsman_service.alert.alert import Alert, alert_of
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
        "next_step": alert.next_step,
        "documentation": alert.documentation,
    }


def message_of(alert: AlertRow, event: Event, base_url: str | None) -> dict[str, Any]:
    """The ``data`` of a message: plain JSON values."""
    return {"event": str(event), **facts_of(alert_of(alert)), "link": (base_url or "").rstrip("/") + alert.link}


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
    return f"[{message['severity']}] {lead}: {message['summary']}"


def text_of(message: Mapping[str, Any]) -> str:
    """A few lines for a person."""
    lines = [subject_line(message), "", f"Since: {message['since']}"]
    if message["resolved_at"] is not None:
        lines.append(f"Until: {message['resolved_at']}")
    if message["value"] is not None:
        limit = "" if message["limit"] is None else f" (limit {message['limit']:g}{_unit(message)})"
        lines.append(f"Value: {message['value']:g}{_unit(message)}{limit}")
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

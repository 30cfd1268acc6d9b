"""Alerts, their silences and deliveries as the API shows them."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.alert.alert import Alert, Delivery, summary_without_errors
from pointsman_service.alert.kinds import Severity
from pointsman_service.alert.wording import facts_of
from pointsman_service.api.answers.answer import moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.store.alerts.alerts import SilenceRow

DeliveryStatus = Literal["pending", "sent", "gave_up", "dropped"]

EXAMPLE_ALERT: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "key": "breaker_open:dependency:api.weather.com",
    "rule": "breaker_open",
    "subject": "dependency:api.weather.com",
    "severity": "ticket",
    "state": "open",
    "summary": "The circuit breaker of dependency api.weather.com is open: its calls are held.",
    "value": None,
    "limit": None,
    "unit": "",
    "since": "2026-11-26T08:30:00Z",
    "opened_at": "2026-11-26T08:30:01.200000Z",
    "resolved_at": None,
    "also": [],
    "part_of": None,
    "next_step": "See what the calls fail with, and mend what is called.",
    "documentation": "docs/troubleshooting.md#a-breaker-is-open",
    "link": "/v1/breakers/dependency/api.weather.com",
    "acknowledged": None,
    "silenced_until": None,
    "notified_at": "2026-11-26T08:30:01.200000Z",
}
EXAMPLE_SILENCE: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57e",
    "matcher": "breaker_open:dependency:api.weather.com",
    "until": "2026-11-26T10:30:00Z",
    "who": "ada",
    "reason": "they migrate their database",
    "created_at": "2026-11-26T08:30:00Z",
}
EXAMPLE_DELIVERY: dict[str, Any] = {
    "id": "01a20271-c811-71a5-99c0-510fde22a57f",
    "alert_id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "event": "opened",
    "channel": "on-call",
    "status": "pending",
    "attempts": 1,
    "next_at": "2026-11-26T08:30:12.310000Z",
    "last_status": "HTTP 500",
    "error": "the receiver answered 500",
    "created_at": "2026-11-26T08:30:01.200000Z",
    "ended_at": None,
}


class AcknowledgedView(BaseModel):
    """That somebody knows."""

    at: AwareDatetime
    who: str
    reason: str


def _without_errors(view: dict[str, Any]) -> str:
    return summary_without_errors(view["rule"], view["subject"], view["summary"])


class AlertView(BaseModel):
    """One alert."""

    id: str
    key: str = Field(description="The cause: rule and subject. There is one open alert for each.")
    rule: str
    subject: str = Field(description="What it is about; empty when it is about the whole.")
    severity: Severity = Field(description="`page`: somebody, now; `ticket`: somebody, in the morning.")
    state: Literal["open", "resolved"]
    summary: Annotated[str, Payload(made=_without_errors)]
    value: float | None
    limit: float | None = Field(description="What the value passed.")
    unit: str
    since: AwareDatetime = Field(description="When it began, as far as is known.")
    opened_at: AwareDatetime
    resolved_at: AwareDatetime | None
    also: list[str] = Field(
        description="The keys of what this leads to now. It is told with this alert and has none of its own."
    )
    part_of: str | None = Field(
        description="Of one that ended because its cause was found: the key of the alert that it is told with since."
    )
    next_step: str = Field(description="What to do.")
    documentation: str = Field(description="Where it is explained.")
    link: str = Field(description="Where to look, in this API.")
    acknowledged: AcknowledgedView | None
    silenced_until: AwareDatetime | None = Field(description="Nobody is told of it before; null: it is not silenced.")
    notified_at: AwareDatetime | None = Field(description="When the channels were last given a message about it.")


class AlertList(BaseModel):
    """A page of alerts, causes first."""

    items: list[AlertView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


class SilenceView(BaseModel):
    """Nobody is told of the alerts that it matches."""

    id: str
    matcher: str = Field(description="The key of an alert, or a rule: all of its alerts.")
    until: AwareDatetime
    who: str
    reason: str
    created_at: AwareDatetime


class SilenceList(BaseModel):
    """Silences that have not ended, the newest first."""

    items: list[SilenceView]
    next_cursor: None = None


class DeliveryView(BaseModel):
    """One message to one channel."""

    id: str = Field(description="A webhook gets it as `webhook-id`, the same at every attempt.")
    alert_id: str | None = Field(description="Null: a test.")
    event: Literal["opened", "repeated", "resolved", "test"]
    channel: str
    status: DeliveryStatus = Field(
        description="`gave_up`: it failed for a day; `dropped`: its channel is not configured any more."
    )
    attempts: int
    next_at: AwareDatetime | None = Field(description="Of a pending one: when it is tried next.")
    last_status: str | None = Field(description="What the last attempt came to.")
    error: str | None
    created_at: AwareDatetime
    ended_at: AwareDatetime | None


class DeliveryList(BaseModel):
    """A page of messages, the newest first."""

    items: list[DeliveryView]
    next_cursor: str | None = Field(description="For `cursor=`; null on the last page.")


def alert_view(alert: Alert) -> dict[str, Any]:
    """The fields of ``AlertView``."""
    known = alert.acknowledged
    return facts_of(alert) | {
        "state": "open" if alert.is_open else "resolved",
        "link": alert.link,
        "acknowledged": None if known is None else {"at": moment(known.at), "who": known.who, "reason": known.reason},
        "silenced_until": moment(alert.silenced_until),
        "notified_at": moment(alert.notified_at),
    }


def silence_view(silence: SilenceRow) -> dict[str, Any]:
    """The fields of ``SilenceView``."""
    return {
        "id": str(silence.id),
        "matcher": silence.matcher,
        "until": moment(silence.until),
        "who": silence.actor,
        "reason": silence.reason,
        "created_at": moment(silence.created_at),
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """The fields of ``DeliveryView``."""
    return {
        "id": str(delivery.id),
        "alert_id": None if delivery.alert_id is None else str(delivery.alert_id),
        "event": delivery.event,
        "channel": delivery.channel,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_at": moment(delivery.next_at),
        "last_status": delivery.last_status,
        "error": delivery.error,
        "created_at": moment(delivery.created_at),
        "ended_at": moment(delivery.ended_at),
    }

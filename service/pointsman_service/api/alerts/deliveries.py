"""Messages about alerts: what became of them, and a test of a channel."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from pointsman_service.alert.alert import Delivery, delivery_of
from pointsman_service.alert.reading import Page
from pointsman_service.alert.wording import Event, test_message
from pointsman_service.api.alerts.routes import AlertId, Limit
from pointsman_service.api.alerts.view import (
    EXAMPLE_DELIVERY,
    DeliveryList,
    DeliveryStatus,
    DeliveryView,
    delivery_view,
)
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example, with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Explained, given, request_body
from pointsman_service.api.requests.ids import Cursor
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.channel_settings import CHANNEL_NAME, AlertChannel
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, UnknownAlert, UnknownChannel
from pointsman_service.store.alerts.deliveries import NewDelivery

router = APIRouter(tags=["alerts"], dependencies=[Depends(known_parameters_only)])

_EXAMPLE_CHANNEL: dict[str, Any] = {"name": "on-call", "kind": "webhook", "severities": ["page"]}
_EXAMPLE_TEST = EXAMPLE_DELIVERY | {
    "alert_id": None,
    "event": "test",
    "attempts": 0,
    "last_status": None,
    "error": None,
}


class ChannelView(BaseModel):
    """Where messages go. Its address and its secrets are not told."""

    name: str
    kind: str
    severities: list[str]


class ChannelList(BaseModel):
    """Every configured channel."""

    items: list[ChannelView]
    next_cursor: None = None


@router.get(
    "/v1/alerts/{alert_id}/deliveries",
    operation_id="list_deliveries_of_alert",
    summary="List the messages about an alert",
    description="The newest first.",
    response_model=DeliveryList,
    responses=example({"items": [EXAMPLE_DELIVERY], "next_cursor": None}, "A page.")
    | problem_responses(UnknownAlert, InvalidRequest, DatabaseAway),
)
async def list_deliveries_of_alert(
    alert_id: AlertId, parts: GivenParts, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The messages about one alert."""
    await parts.alert_reader.find(alert_id)
    return _page(await parts.alert_reader.deliveries(alert_id=alert_id, below=cursor, limit=limit))


@router.get(
    "/v1/alert-deliveries",
    operation_id="list_alert_deliveries",
    summary="List the messages about all alerts",
    description="The newest first.",
    response_model=DeliveryList,
    responses=example({"items": [EXAMPLE_DELIVERY], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_deliveries(
    parts: GivenParts,
    channel: Annotated[str | None, Query(pattern=CHANNEL_NAME, description="Only to this channel.")] = None,
    status: Annotated[DeliveryStatus | None, Query(description="Only these.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The messages about all alerts."""
    page = await parts.alert_reader.deliveries(channel=channel, status=status, below=cursor, limit=limit)
    if (
        not page.items
        and cursor is None
        and channel not in {None, *(known.name for known in parts.settings.alert_channels)}
    ):
        # Messages to a channel that is gone may still be kept; these are none.
        raise InvalidRequest(errors=[FieldError(pointer="/query/channel", detail="there is no such channel")])
    return _page(page)


@router.get(
    "/v1/alert-channels",
    operation_id="list_alert_channels",
    summary="List where messages go",
    response_model=ChannelList,
    responses=example({"items": [_EXAMPLE_CHANNEL], "next_cursor": None}, "The channels.")
    | problem_responses(InvalidRequest),
)
async def list_channels(parts: GivenParts) -> Response:
    """Every channel."""
    items = [_channel_view(channel) for channel in parts.settings.alert_channels]
    return json_response({"items": items, "next_cursor": None})


@router.post(
    "/v1/alert-channels/{name}/test",
    operation_id="test_alert_channel",
    summary="Send a test message",
    description="202: it is on its way, as every message is; look what became of it in `/v1/alert-deliveries`.",
    status_code=202,
    response_model=DeliveryView,
    responses={
        202: {
            "description": "The message.",
            "content": {"application/json": {"example": with_nulls(_EXAMPLE_TEST)}},
        },
        **problem_responses(400, UnknownChannel, 413, 415, InvalidRequest, DatabaseAway),
    },
    openapi_extra=request_body(Explained, {"reason": "does it reach us?"}, required=False),
)
async def test_channel(
    name: Annotated[str, Path(pattern=CHANNEL_NAME)], request: Request, parts: GivenParts, caller: GivenCaller
) -> Response:
    """Let a test be sent."""
    reason = (await given(request, Explained)).reason
    if name not in {channel.name for channel in parts.settings.alert_channels}:
        raise UnknownChannel
    new = NewDelivery(None, Event.TEST, name, test_message(name, datetime.now(UTC)))
    return json_response(delivery_view(delivery_of(await parts.alert_hand.try_channel(caller, new, reason))), 202)


def _page(page: Page[Delivery]) -> Response:
    following = None if page.following is None else str(page.following)
    return json_response({"items": [delivery_view(one) for one in page.items], "next_cursor": following})


def _channel_view(channel: AlertChannel) -> dict[str, Any]:
    return {"name": channel.name, "kind": channel.kind, "severities": list(channel.severities)}

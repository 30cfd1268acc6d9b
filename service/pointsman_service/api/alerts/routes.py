"""Alerts: look at them, acknowledge them, silence them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from pointsman_service.alert.alert import alert_of
from pointsman_service.alert.kinds import Rule, Severity
from pointsman_service.api.alerts.view import (
    EXAMPLE_ALERT,
    EXAMPLE_SILENCE,
    AlertList,
    AlertView,
    SilenceList,
    SilenceView,
    alert_view,
    silence_view,
)
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Action, Explained, Name, Reason, given, request_body
from pointsman_service.api.requests.ids import Cursor, Id
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import (
    AlertResolved,
    BodyTooLarge,
    DatabaseAway,
    InvalidRequest,
    MalformedJson,
    UnknownAlert,
    UnsupportedMediaType,
)

router = APIRouter(tags=["alerts"], dependencies=[Depends(known_parameters_only)])

MOST = 200
_LONGEST_SILENCE_SECONDS = 366 * 86_400.0
_PROBLEMS = (MalformedJson, UnknownAlert, BodyTooLarge, UnsupportedMediaType, InvalidRequest, DatabaseAway)

AlertId = Annotated[Id, Path(description="The id of an alert.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Most of them on a page.")]


class Acknowledge(Action):
    """Who knows, and what they do about it."""

    reason: Reason = Field(description="Shown with the alert.")
    who: Name | None = Field(default=None, description="Who says so; default: the caller.")


class Silence(Acknowledge):
    """What nobody is told of, why, and for how long."""

    seconds: float = Field(gt=0, le=_LONGEST_SILENCE_SECONDS)
    of: Literal["cause", "rule"] = Field(
        default="cause", description="`cause`: this cause, also when it comes back; `rule`: every alert of its rule."
    )


class Unsaid(Explained):
    """Nothing needs to be said."""


@router.get(
    "/v1/alerts",
    operation_id="list_alerts",
    summary="List alerts",
    description=(
        "Those that are open first, and of them what causes others before what does not, the newest first. Without"
        " `state` also those that are over."
    ),
    response_model=AlertList,
    responses=example({"items": [EXAMPLE_ALERT], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_alerts(
    parts: GivenParts,
    state: Annotated[Literal["open", "resolved"] | None, Query(description="Only these.")] = None,
    severity: Annotated[Severity | None, Query(description="Only of this severity.")] = None,
    rule: Annotated[Rule | None, Query(description="Only of this rule.")] = None,
    acknowledged: Annotated[bool | None, Query(description="Whether somebody acknowledged it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """A page of alerts."""
    resolved = None if state is None else state == "resolved"
    page = await parts.alert_reader.page(
        resolved=resolved, acknowledged=acknowledged, severity=severity, rule=rule, below=cursor, limit=limit
    )
    following = None if page.following is None else str(page.following)
    return json_response({"items": [alert_view(one) for one in page.items], "next_cursor": following})


@router.get(
    "/v1/alerts/{alert_id}",
    operation_id="get_alert",
    summary="Get an alert",
    response_model=AlertView,
    responses=example(EXAMPLE_ALERT, "The alert.") | problem_responses(UnknownAlert, InvalidRequest, DatabaseAway),
)
async def get_alert(alert_id: AlertId, parts: GivenParts) -> Response:
    """One alert."""
    return json_response(alert_view(await parts.alert_reader.find(alert_id)))


@router.post(
    "/v1/alerts/{alert_id}/ack",
    operation_id="acknowledge_alert",
    summary="Say that somebody knows",
    description="It is not told again. The first who says so stays; it is refused once the alert is over.",
    response_model=AlertView,
    responses=example(
        EXAMPLE_ALERT | {"acknowledged": {"at": "2026-11-26T08:32:00Z", "who": "ada", "reason": "I call them"}},
        "The alert.",
    )
    | problem_responses(AlertResolved, *_PROBLEMS),
    openapi_extra=request_body(Acknowledge, {"reason": "I call them", "who": "ada"}),
)
async def acknowledge_alert(alert_id: AlertId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Say of an alert that somebody knows."""
    said = await given(request, Acknowledge)
    row, _ = await parts.alert_hand.acknowledge(caller, alert_id, said.reason, said.who)
    return json_response(alert_view(alert_of(row)))


@router.post(
    "/v1/alerts/{alert_id}/unack",
    operation_id="unacknowledge_alert",
    summary="Take back that somebody knows",
    description="It is told again like any other that nobody knows of; it is refused once the alert is over.",
    response_model=AlertView,
    responses=example(EXAMPLE_ALERT | {"acknowledged": None}, "The alert.")
    | problem_responses(AlertResolved, *_PROBLEMS),
    openapi_extra=request_body(Unsaid, {}, required=False),
)
async def unacknowledge_alert(alert_id: AlertId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Take back that somebody knows."""
    reason = (await given(request, Unsaid)).reason
    return json_response(alert_view(alert_of(await parts.alert_hand.unacknowledge(caller, alert_id, reason))))


@router.post(
    "/v1/alerts/{alert_id}/silence",
    operation_id="silence_alert",
    summary="Tell nobody for a while",
    description=(
        "The alert is listed all the same, and told when the silence ends and it is still open. Who was told that it"
        " began is told that it is over."
    ),
    response_model=SilenceView,
    responses=example(EXAMPLE_SILENCE, "The silence.") | problem_responses(*_PROBLEMS),
    openapi_extra=request_body(
        Silence, {"reason": "they migrate their database", "who": "ada", "seconds": 7200, "of": "cause"}
    ),
)
async def silence_alert(alert_id: AlertId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Silence the cause of an alert, or its rule."""
    said = await given(request, Silence)
    made = await parts.alert_hand.silence(
        caller, alert_id, said.reason, said.who, whole_rule=said.of == "rule", seconds=said.seconds
    )
    return json_response(silence_view(made))


@router.post(
    "/v1/alerts/{alert_id}/unsilence",
    operation_id="unsilence_alert",
    summary="End the silences of an alert",
    description="Those of its cause and those of its rule. One that is still open and was never told is told then.",
    response_model=AlertView,
    responses=example(EXAMPLE_ALERT, "The alert.") | problem_responses(*_PROBLEMS),
    openapi_extra=request_body(Unsaid, {}, required=False),
)
async def unsilence_alert(alert_id: AlertId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Let an alert be told again."""
    reason = (await given(request, Unsaid)).reason
    return json_response(alert_view(alert_of(await parts.alert_hand.unsilence(caller, alert_id, reason))))


@router.get(
    "/v1/alert-silences",
    operation_id="list_alert_silences",
    summary="List silences",
    description="Those that have not ended, the newest first.",
    response_model=SilenceList,
    responses=example({"items": [EXAMPLE_SILENCE], "next_cursor": None}, "The silences.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_silences(parts: GivenParts) -> Response:
    """The silences that have not ended."""
    silences = await parts.alert_reader.silences()
    return json_response({"items": [silence_view(row) for row in silences], "next_cursor": None})

"""The endpoints of keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from pointsman_service.access.key import KEY_NAME
from pointsman_service.access.scopes import KeyScope, Preset
from pointsman_service.admit.numbers import WHOLE
from pointsman_service.api.answers.answer import json_response
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.keys.view import EXAMPLE_KEY, EXAMPLE_TEXT, KeyList, KeyMade, KeyView, key_view
from pointsman_service.api.parts import GivenCaller, GivenParts, Parts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.given import Action, Explained, Reason, given, request_body
from pointsman_service.api.requests.ids import Cursor, Id
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    FieldError,
    GrantsMore,
    InvalidRequest,
    KeyNameTaken,
    KeyNotLive,
    MalformedJson,
    NoSuchKey,
    UnsupportedMediaType,
)
from pointsman_service.limits import LEAST_WEIGHT, MOST_BURST, MOST_QUOTA, MOST_WEIGHT, RATE, Rate, rate_of
from pointsman_service.operate.handle_keys import MadeKey, WantedKey

router = APIRouter(tags=["keys"], dependencies=[Depends(known_parameters_only)])

_MOST = 200
_MOST_NAMES = 100
_LONGEST_SECONDS = 10 * 366 * 86_400.0
_OVERLAP_SECONDS = 86_400.0
_BODY = (MalformedJson, BodyTooLarge, UnsupportedMediaType, InvalidRequest, DatabaseAway)
_WEIGHT = (
    "How many turns its tasks have in a queue where those of others have one; null: as POINTSMAN_CALLER_WEIGHTS says."
)
_SECRET = {"Cache-Control": "no-store"}

KeyId = Annotated[Id, Path(description="The id of a key.")]
_Names = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=255)]], Field(min_length=1, max_length=_MOST_NAMES)
]
_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_SECONDS)]


_Weight = Annotated[float, Field(ge=LEAST_WEIGHT, le=MOST_WEIGHT)]


class CreateKey(Action):
    """What the key is to be. It takes a preset, or scopes, or both."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"properties": {"preset": {"type": "null"}, "scopes": {"maxItems": 0}}}}
    )

    name: str = Field(pattern=KEY_NAME, description="Of its caller. No other key that is in use may have it.")
    preset: Annotated[Preset, Field(strict=False)] | None = None
    scopes: list[Annotated[KeyScope, Field(strict=False)]] = Field(
        default=[], max_length=len(KeyScope), description="Beside those of the preset."
    )
    task_types: _Names | None = Field(default=None, description="The only ones that it has to do with; null: all.")
    queues: _Names | None = Field(default=None, description="The only ones that it has to do with; null: all.")
    rate: str | None = Field(
        default=None,
        pattern=RATE,
        description="How fast its caller may submit, as `100/60s`; null: as POINTSMAN_CALLER_RATE says for all.",
    )
    burst: Annotated[int, Field(ge=1, le=MOST_BURST), WHOLE] | None = Field(
        default=None, description="How many tasks at once; null: as many as `rate` says."
    )
    quota: Annotated[int, Field(ge=1, le=MOST_QUOTA), WHOLE] | None = Field(
        default=None,
        description="How many of its tasks may wait; null: as POINTSMAN_CALLER_QUOTA says for all.",
    )
    weight: _Weight | None = Field(default=None, description=_WEIGHT)
    expires_in_seconds: _Seconds | None = Field(default=None, description="Null: it does not expire.")
    reason: Reason | None = Field(default=None, description="Why, for the log.")


class LimitKey(Explained):
    """How fast the caller of the key may submit, how much, and how many turns its tasks have."""

    rate: str | None = Field(
        default=None, pattern=RATE, description="As `100/60s`; null: as POINTSMAN_CALLER_RATE says for all."
    )
    burst: Annotated[int, Field(ge=1, le=MOST_BURST), WHOLE] | None = Field(
        default=None, description="How many tasks at once; null: as many as `rate` says."
    )
    quota: Annotated[int, Field(ge=1, le=MOST_QUOTA), WHOLE] | None = Field(
        default=None,
        description="How many of its tasks may wait; null: as POINTSMAN_CALLER_QUOTA says for all.",
    )
    weight: _Weight | None = Field(default=None, description=_WEIGHT)


class RotateKey(Explained):
    """How long the old one goes on, and how long the new one lasts."""

    overlap_seconds: float = Field(
        default=_OVERLAP_SECONDS,
        ge=0,
        le=_LONGEST_SECONDS,
        description="How much longer the old key opens what it did.",
    )
    expires_in_seconds: _Seconds | None = Field(default=None, description="Null: as long as the old one was to last.")


class RevokeKey(Explained):
    """Why."""


@router.get(
    "/v1/keys",
    operation_id="list_keys",
    summary="List keys",
    description="The newest first; also those that open nothing more. Never the keys themselves.",
    response_model=KeyList,
    responses=example({"items": [EXAMPLE_KEY], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway),
)
async def list_keys(
    parts: GivenParts,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Most of them on a page.")] = 50,
    cursor: Cursor = None,
) -> Response:
    """A page of keys."""
    page = await parts.key_reader.page(below=cursor, limit=limit)
    following = None if page.following is None else str(page.following)
    return json_response({"items": [key_view(one) for one in page.items], "next_cursor": following})


@router.post(
    "/v1/keys",
    operation_id="create_key",
    summary="Make a key",
    description=(
        "The answer holds the key, which nobody can read again. It opens what it may within two seconds in every"
        " process. Nobody can give more rights than they have, and a key that expires makes none that lasts longer."
    ),
    status_code=201,
    response_model=KeyMade,
    responses=example(EXAMPLE_KEY | {"key": EXAMPLE_TEXT}, "The key.", 201)
    | problem_responses(KeyNameTaken, GrantsMore, *_BODY),
    openapi_extra=request_body(
        CreateKey,
        {"name": "billing", "preset": "submitter", "task_types": ["send_invoice"], "expires_in_seconds": 7776000},
    ),
)
async def create_key(request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Make a key."""
    said = await given(request, CreateKey, required=True)
    if said.preset is None and not said.scopes:
        raise InvalidRequest(errors=[FieldError(pointer="/preset", detail="it takes a preset, or scopes")])
    _rate(said.rate, said.burst)
    wanted = WantedKey(
        said.name,
        said.preset,
        sorted(set(said.scopes)),
        said.task_types,
        said.queues,
        said.expires_in_seconds,
        said.rate,
        said.burst,
        said.quota,
        said.weight,
    )
    return await _made(parts, await parts.key_hand.create(caller, wanted, said.reason))


@router.get(
    "/v1/keys/{key_id}",
    operation_id="get_key",
    summary="Get a key",
    response_model=KeyView,
    responses=example(EXAMPLE_KEY, "The key.") | problem_responses(NoSuchKey, InvalidRequest, DatabaseAway),
)
async def get_key(key_id: KeyId, parts: GivenParts) -> Response:
    """What is known of one key."""
    return json_response(key_view(await parts.key_reader.find(key_id)))


@router.post(
    "/v1/keys/{key_id}/limit",
    operation_id="limit_key",
    summary="Say how fast the caller of a key may submit, how much, and its share",
    description=(
        "It holds for all keys of this caller, within two seconds in every process. What is left out is no longer said"
        " with the key."
    ),
    response_model=KeyView,
    responses=example(EXAMPLE_KEY, "The key.") | problem_responses(NoSuchKey, KeyNotLive, *_BODY),
    openapi_extra=request_body(
        LimitKey, {"rate": "100/60s", "burst": 20, "reason": "a loop of theirs"}, required=False
    ),
)
async def limit_key(key_id: KeyId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Change what a caller may take."""
    said = await given(request, LimitKey)
    rate = _rate(said.rate, said.burst)
    limited = await parts.key_hand.limit(caller, key_id, rate, said.quota, said.weight, said.reason)
    await parts.keys.try_refresh()
    return json_response(key_view(limited))


@router.post(
    "/v1/keys/{key_id}/rotate",
    operation_id="rotate_key",
    summary="Put another key in the place of one",
    description=(
        "The new one has the name and the rights of the old one, which goes on for the overlap: a day, unless said"
        " otherwise. Give 0 for one that leaked."
    ),
    status_code=201,
    response_model=KeyMade,
    responses=example(EXAMPLE_KEY | {"key": EXAMPLE_TEXT}, "The new key.", 201)
    | problem_responses(NoSuchKey, KeyNotLive, GrantsMore, *_BODY),
    openapi_extra=request_body(RotateKey, {"overlap_seconds": 3600, "reason": "each quarter"}, required=False),
)
async def rotate_key(key_id: KeyId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Make a key that takes the place of another."""
    said = await given(request, RotateKey)
    made = await parts.key_hand.rotate(caller, key_id, said.overlap_seconds, said.expires_in_seconds, said.reason)
    return await _made(parts, made)


@router.post(
    "/v1/keys/{key_id}/revoke",
    operation_id="revoke_key",
    summary="Let a key open nothing more",
    description="It is refused within two seconds in every process, and stays in the list. That cannot be undone.",
    response_model=KeyView,
    responses=example(
        EXAMPLE_KEY | {"state": "revoked", "revoked_at": "2026-11-29T10:00:00Z", "revoked_by": "ada"}, "The key."
    )
    | problem_responses(NoSuchKey, *_BODY),
    openapi_extra=request_body(RevokeKey, {"reason": "it was in a log"}, required=False),
)
async def revoke_key(key_id: KeyId, request: Request, parts: GivenParts, caller: GivenCaller) -> Response:
    """Revoke a key."""
    reason = (await given(request, RevokeKey)).reason
    revoked = await parts.key_hand.revoke(caller, key_id, reason)
    await parts.keys.try_refresh()
    return json_response(key_view(revoked))


def _rate(text: str | None, burst: int | None) -> Rate | None:
    try:
        return rate_of(text, burst)
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError(pointer="/burst", detail=str(error))]) from None


async def _made(parts: Parts, made: MadeKey) -> Response:
    # Who gets it may use it here at once.
    await parts.keys.try_refresh()
    location = {"Location": f"/v1/keys/{made.key.id}"}
    return json_response(key_view(made.key) | {"key": made.token}, 201, _SECRET | location)

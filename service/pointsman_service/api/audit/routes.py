"""The endpoint of what is kept of acts."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.admit.moments import Moment
from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.problems.translation import in_time
from pointsman_service.api.requests.parameters import bounded, known_parameters_only, storable
from pointsman_service.errors import DatabaseAway, FieldError, InvalidRequest, Unavailable
from pointsman_service.operate.act import ActKind
from pointsman_service.store.audit import EntryFilter

router = APIRouter(tags=["audit"], dependencies=[Depends(known_parameters_only)])

_MOST = 200
_EXAMPLE: dict[str, Any] = {
    "id": 1204,
    "at": "2026-11-29T08:21:04.120000Z",
    "act": "purge_queue",
    "subject": "email",
    "actor": "ops",
    "caller": "ops",
    "address": "10.0.0.7",
    "reason": "sent by mistake",
    "request_id": "a38c6412f4c7100000e3",
    "counts": {"before": 212, "after": 0},
    "number": 1200,
    "hash": "6ac3c336e4094835293a3fed8a4b5fedde1b5e2626d9838fed50693bba00af0e",
}


class AuditEntryView(BaseModel):
    """One act that changed something."""

    id: int
    at: AwareDatetime
    act: str = Field(description="The `operationId` of what was done.")
    subject: str = Field(description="The id or the name of what it was done to.")
    actor: str = Field(description="Who is named with it: `who` where one was given, else the caller.")
    caller: str = Field(description="The name of the key; `local`: nobody was asked; `console`: a command.")
    address: str | None = Field(description="From where it was asked, or of the proxy that passed it on.")
    reason: str | None
    request_id: str | None = Field(description="The `X-Request-ID` of the answer.")
    counts: dict[str, Any] | None = Field(
        description=(
            "What there was `before` and `after`: how many, a state, or the fields that differ, by their names; null"
            " where nothing was counted. Of acts by a filter: how many it found then, and would leave; `is_least`:"
            " there may be more."
        )
    )
    number: int | None = Field(description="Its place in the chain; null: it is older than that.")
    hash: str | None = Field(description="SHA-256 of everything in it and of the hash before it.")


class AuditEntryList(BaseModel):
    """A page."""

    items: list[AuditEntryView]
    next_cursor: str | None


@router.get(
    "/v1/audit",
    operation_id="list_audit_entries",
    summary="List who did what",
    description=(
        "Every act that changed something, but submissions, which name their caller themselves, and what programs"
        " report of their calls. The newest first. Entries cannot be changed, and leave after `POINTSMAN_AUDIT_DAYS`;"
        " `python -m pointsman_service audit verify` finds one that was changed or removed all the same."
    ),
    response_model=AuditEntryList,
    responses=example({"items": [_EXAMPLE], "next_cursor": None}, "A page.")
    | problem_responses(InvalidRequest, DatabaseAway, Unavailable),
)
async def list_audit_entries(
    parts: GivenParts,
    act: Annotated[ActKind | None, Query(description="Only this act, by its `operationId`.")] = None,
    caller: Annotated[str | None, Query(max_length=300, description="Only what this caller asked for.")] = None,
    actor: Annotated[str | None, Query(max_length=300, description="Only where this one is named.")] = None,
    subject: Annotated[
        str | None,
        Query(max_length=300, description="Only what was done to this: the id of a task, the name of a queue, …"),
    ] = None,
    after: Annotated[Moment | None, Query(description="At this moment or later.")] = None,
    before: Annotated[Moment | None, Query(description="Before this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Entries on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before.")
    ] = None,
) -> Response:
    """A page of entries."""
    faults: list[FieldError] = []
    wanted = EntryFilter(
        act=None if act is None else str(act),
        caller=storable("caller", caller, faults),
        actor=storable("actor", actor, faults),
        subject=storable("subject", subject, faults),
        after=bounded(after),
        before=bounded(before),
        below=None if cursor is None else int(cursor),
    )
    if faults:
        raise InvalidRequest(errors=faults)
    async with in_time("narrow it, best by after and before"):
        page = await parts.acts_done.page(wanted, limit)
    following = None if page.following is None else str(page.following)
    items = [asdict(one) | {"at": moment(one.at)} for one in page.items]
    return json_response({"items": items, "next_cursor": following})

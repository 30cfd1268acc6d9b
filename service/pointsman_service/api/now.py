"""The first page as JSON: what is wrong now, and what a person can do."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, Field

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.api.documentation.examples import example
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import InvalidRequest
from pointsman_service.now.picture import Cause, LinkKind, Now, Overall, QueueState, Urgency, said

router = APIRouter(tags=["now"], dependencies=[Depends(known_parameters_only)])

_EXAMPLE_LINK: dict[str, Any] = {"kind": "breaker", "name": "dependency:api.bank.example", "filter": {}}
_EXAMPLE_TASK = "01a20271-c811-71a5-99c0-510fde22a57d"
_EXAMPLE_ERROR: dict[str, Any] = {
    "type": "ConnectTimeout",
    "message": "no answer from api.bank.example within 5 s",
    "task_id": _EXAMPLE_TASK,
    "count": 31,
    "where": "bank.py:41",
    "group_id": "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77",
}


def _plain(text: str) -> dict[str, Any]:
    return {"text": text, "link": None}


EXAMPLE_NOW: dict[str, Any] = {
    "as_of": "2026-11-26T08:34:12Z",
    "recorded_up_to": "2026-11-26T08:34:11.600000Z",
    "verdict": "degraded",
    "sentence": "api.bank.example has failed since 08:30:00 UTC (4 min): ConnectTimeout, 31 calls.",
    "causes": [
        {
            "severity": "ticket",
            "kind": "breaker_open",
            "subject": "dependency:api.bank.example",
            "since": "2026-11-26T08:30:00Z",
            "sentence": "api.bank.example has failed since 08:30:00 UTC (4 min): ConnectTimeout, 31 calls.",
            "parts": [
                {"text": "api.bank.example", "link": _EXAMPLE_LINK},
                _plain(" has failed since 08:30:00 UTC (4 min): "),
                {"text": "ConnectTimeout", "link": {"kind": "task", "name": _EXAMPLE_TASK, "filter": {}}},
                _plain(", 31 calls."),
            ],
            "consequences": [[_plain("212 tasks are held, none has spent an attempt.")]],
            "being_done": [_plain("It is tried again in 41 s (08:34:53 UTC).")],
            "remedies": [
                {
                    "text": "See what the calls fail with, and mend what is called.",
                    "link": {
                        "kind": "document",
                        "name": "docs/troubleshooting.md#a-breaker-is-open",
                        "filter": {},
                    },
                    "command": None,
                    "act": None,
                }
            ],
            "alert_ids": ["01a20271-c811-71a5-99c0-510fde22a57e"],
            "error": _EXAMPLE_ERROR,
            "acknowledged": None,
            "documentation": "docs/troubleshooting.md#a-breaker-is-open",
        }
    ],
    "queues": [
        {
            "name": "critical",
            "priority": 10,
            "sla_seconds": 2.0,
            "met_today": 0.9998,
            "oldest_wait_seconds": None,
            "predicted": {"p95_seconds": 0.84, "reason": None},
            "in_per_minute": 12.0,
            "out_per_minute": 12.0,
            "in_series": [11.0, 12.0, None, 12.0],
            "out_series": [11.0, 12.0, None, 12.0],
            "waiting": 0,
            "running": 1,
            "held": 0,
            "busy": 1,
            "processes": 2,
            "state": "ok",
            "state_since": None,
            "state_reason": None,
        }
    ],
    "breakers": [
        {
            "scope": "dependency",
            "name": "api.bank.example",
            "state": "open",
            "since": "2026-11-26T08:30:00Z",
            "error": _EXAMPLE_ERROR,
            "held": 212,
            "next_probe_at": "2026-11-26T08:34:53Z",
            "by": None,
            "reason": None,
        }
    ],
    "breakers_in_all": 1,
    "errors": [
        {
            "id": "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77",
            "label": "ConnectTimeout: no answer from <host> within <n> s",
            "task_type": "transfer",
            "count": 31,
            "badge": "new",
            "since": "2026-11-26T08:30:00Z",
        }
    ],
    "changes": [
        {
            "at": "2026-11-26T08:21:00Z",
            "actor": "ops",
            "what": [
                {"text": "email", "link": {"kind": "queue", "name": "email", "filter": {}}},
                _plain(" paused"),
            ],
            "reason": "provider moves",
        }
    ],
    "lately": [{"task_type": "transfer", "figure": "failure_rate", "before": 0.002, "now": 0.9, "runs": 34}],
    "last_hour": {"tasks": 12_481, "started_within_target": 0.999, "failed": 3},
    "unknown": [],
    "running": [],
}


class LinkView(BaseModel):
    """Where more of it is told, by kind and name; each shower has its own address for it."""

    kind: LinkKind
    name: str | None = Field(description="Id or name; null: a list.")
    filter: dict[str, str] = Field(description="Narrows a list, with the names of the parameters of this API.")


class SentencePartView(BaseModel):
    """A piece of a sentence. The texts of all pieces, one after the other, are the sentence."""

    text: str
    link: LinkView | None


class RemedyView(BaseModel):
    """Something that a person can do."""

    text: str
    link: LinkView | None
    command: str | None = Field(description="What to type.")
    act: str | None = Field(description="The `operationId` that does it; `link` says on what.")


class CauseErrorView(BaseModel):
    """The newest failure behind a cause."""

    type: str
    message: Annotated[str, Payload("")]
    task_id: str | None
    count: int = Field(description="How many were seen like it: in a row, or since it began.")
    where: str | None = Field(description="File and line of the innermost frame.")
    group_id: str | None = Field(description="For `GET /v1/errors/{group_id}`.")


class KnownView(BaseModel):
    """That somebody knows."""

    at: AwareDatetime
    who: str
    reason: str


class CauseView(BaseModel):
    """One thing that is wrong, with all that it leads to."""

    severity: Urgency = Field(
        description="`page`: somebody, now; `ticket`: somebody, in the morning; `notice`: somebody wanted it so."
    )
    kind: str = Field(description="The rule of its alert, or what has none: `queue_paused`.")
    subject: str = Field(description="What it is about; empty when it is about the whole.")
    since: AwareDatetime | None
    sentence: str = Field(description="What is wrong: the texts of `parts`.")
    parts: list[SentencePartView]
    consequences: list[list[SentencePartView]] = Field(description="What that does to whom; a sentence each.")
    being_done: list[SentencePartView] = Field(description="What happens without anybody; empty: nothing.")
    remedies: list[RemedyView] = Field(description="What to do, the first thing first.")
    alert_ids: list[str]
    error: CauseErrorView | None
    acknowledged: KnownView | None
    documentation: str = Field(description="Where it is explained.")


class PredictedView(BaseModel):
    """When a task starts that is submitted now."""

    p95_seconds: float | None = Field(description="19 of 20 start within this.")
    reason: str | None = Field(description="Why that cannot be said.")


class QueueLineView(BaseModel):
    """One queue."""

    name: str
    priority: int
    sla_seconds: float = Field(description="Its target for queue wait.")
    met_today: float | None = Field(description="Share of first starts within the target since midnight UTC, 0 to 1.")
    oldest_wait_seconds: float | None
    predicted: PredictedView
    in_per_minute: float | None = Field(description="Submitted, over the last five minutes.")
    out_per_minute: float | None = Field(description="Attempts ended, over the last five minutes.")
    in_series: list[float | None] = Field(description="By minute, the oldest first; null: nobody looked.")
    out_series: list[float | None]
    waiting: int = Field(description="Due and not started.")
    running: int
    held: int
    busy: int | None = Field(description="Processes of live workers of it that run something; null: not known.")
    processes: int | None = Field(description="Those that take from it; null: not known.")
    state: QueueState
    state_since: AwareDatetime | None
    state_reason: str | None


class BreakerLineView(BaseModel):
    """A circuit breaker that lets not everything through."""

    scope: str
    name: str
    state: str
    since: AwareDatetime | None
    error: CauseErrorView | None
    held: int | None = Field(description="Tasks that it holds back.")
    next_probe_at: AwareDatetime | None
    by: str | None = Field(description="Who set it by hand.")
    reason: str | None


class ErrorLineView(BaseModel):
    """An error group that occurred within the last hour."""

    id: str
    label: str
    task_type: str
    count: int = Field(description="Attempts that failed so within the hour.")
    badge: Literal["new", "back again"] | None
    since: AwareDatetime


class ChangeView(BaseModel):
    """Something that was changed."""

    at: AwareDatetime
    actor: str
    what: list[SentencePartView]
    reason: str | None


class ShiftView(BaseModel):
    """A task type that does otherwise than before."""

    task_type: str
    figure: Literal["failure_rate", "run_seconds_p95"]
    before: float
    now: float = Field(description="In the last quarter of an hour.")
    runs: int = Field(description="Attempts that ended in it.")


class LastHourView(BaseModel):
    """What the last hour came to."""

    tasks: int
    started_within_target: float | None
    failed: int = Field(description="For good.")


class UnknownView(BaseModel):
    """Something that is not known now."""

    what: str = Field(description="`database`, `broker`, `workers`, `recorder` or `reconciler`.")
    since: AwareDatetime | None
    why: str


class RunningView(BaseModel):
    """What a worker runs, by its own word."""

    worker: str
    task_id: str
    since: AwareDatetime | None


class NowView(BaseModel):
    """The first page. What is not known is null, or named in `unknown`."""

    as_of: AwareDatetime
    recorded_up_to: AwareDatetime | None = Field(description="What workers reported before is in these figures.")
    verdict: Overall
    sentence: str = Field(description="The verdict in words.")
    causes: list[CauseView] = Field(description="The worst first.")
    queues: list[QueueLineView]
    breakers: list[BreakerLineView] = Field(description="The first of those that let not everything through.")
    breakers_in_all: int | None = Field(description="How many there are; null: not known, or too many to count.")
    errors: list[ErrorLineView] = Field(description="The first groups of the last hour.")
    changes: list[ChangeView] = Field(description="What was changed lately and by whom, the newest first.")
    lately: list[ShiftView] = Field(description="Task types that do otherwise than before, in a quarter of an hour.")
    last_hour: LastHourView | None
    unknown: list[UnknownView]
    running: list[RunningView] = Field(description="While PostgreSQL is away: what workers run, by their own word.")


@router.get(
    "/v1/now",
    operation_id="get_now",
    summary="What is wrong now?",
    description=(
        "What is wrong, since when, what that does to whom, what is done about it and what you can do: the first page"
        " of the dashboard. At most a second old. It answers 200 also while PostgreSQL or Redis is away, and names in"
        " `unknown` what is not known then."
    ),
    response_model=NowView,
    responses=example(EXAMPLE_NOW, "The first page.") | problem_responses(InvalidRequest),
)
async def get_now(parts: GivenParts, caller: GivenCaller) -> Response:
    """The first page."""
    return json_response(now_view(await parts.now.read(reads_payloads=caller.reads_payloads)))


def now_view(now: Now) -> dict[str, Any]:
    """The fields of ``NowView``."""
    return _json(asdict(now)) | {"causes": [_cause(cause) for cause in now.causes]}


def _cause(cause: Cause) -> dict[str, Any]:
    return {"sentence": said(cause.parts)} | _json(asdict(cause))


def _json(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _as_json(value) for name, value in fields.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return _json(value)
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value

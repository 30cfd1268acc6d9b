"""Why a task is where it is, and why nothing of a queue starts faster."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pointsman_service.api.answers.answer import json_response, moment
from pointsman_service.api.documentation.examples import example, with_nulls
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.problems.described import problem_responses
from pointsman_service.api.requests.ids import id_of
from pointsman_service.api.requests.parameters import known_parameters_only
from pointsman_service.errors import DatabaseAway, InvalidRequest, UnknownQueueName, UnknownTask
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.explanation import CauseFacts, Explanation, Reason
from pointsman_service.operate.pause import check_queue

router = APIRouter(dependencies=[Depends(known_parameters_only)])

EXAMPLE_REASON: dict[str, Any] = {
    "cause": "queue_paused",
    "sentence": "The queue email was paused by ops at 08:21:04 UTC: provider moves. Nothing of it starts until it is"
    " resumed. This task has been due for 4 min; 17 tasks are before it.",
    "since": "2026-11-28T08:21:04Z",
    "clears_itself": False,
    "expected_at": None,
    "what_to_do": "Resume the queue when the reason is over: POST /v1/queues/email/resume.",
    "documentation": "docs/operating.md#pause-resume-purge",
    "facts": {"queue": "email", "by": "ops", "reason": "provider moves", "ahead": 17, "ahead_capped": False},
    "link": "/v1/queues/email",
}
EXAMPLE_EXPLANATION: dict[str, Any] = EXAMPLE_REASON | {
    "task_id": "01a20271-c811-71a5-99c0-510fde22a57d",
    "also": [],
    "as_of": "2026-11-28T08:25:12.120000Z",
}


class ReasonView(BaseModel):
    """One cause."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [with_nulls(EXAMPLE_REASON)]})

    cause: Cause = Field(description="One of a closed list: `docs/explain.md` has an example of each.")
    sentence: str = Field(description="What a person is told.")
    since: AwareDatetime | None = Field(description="Since when it is so, as far as is known.")
    clears_itself: bool | None = Field(
        description="Whether it ends without anybody doing anything; null: not known, or the task has ended."
    )
    expected_at: AwareDatetime | None = Field(description="When it ends, or is tried next, as far as is known.")
    what_to_do: str = Field(description="The remedy.")
    documentation: str = Field(description="Where it is explained.")
    facts: CauseFacts = Field(description="What the sentence was made of; which fields there are depends on `cause`.")
    link: str = Field(description="What it is about, in the API.")


class ExplanationView(ReasonView):
    """Why a task is where it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [with_nulls(EXAMPLE_EXPLANATION)]})

    task_id: str
    also: list[ReasonView] = Field(description="What holds at the same time. The cause of several comes first.")
    as_of: AwareDatetime


class QueueExplanationView(BaseModel):
    """Why a queue waits."""

    queue: str
    next_task: ExplanationView | None = Field(
        description="The task that is next: of those that wait for their turn, or else the oldest of those that are"
        " held; null when none is due."
    )


@router.get(
    "/v1/tasks/{task_id}/explain",
    tags=["tasks"],
    operation_id="explain_task",
    summary="Explain why a task is where it is",
    description="Why it waits and whether that ends by itself; of one that runs, how long that usually takes; of one"
    " that ended, why it ended so. It may be a second behind.",
    response_model=ExplanationView,
    responses=example(EXAMPLE_EXPLANATION, "The explanation.")
    | problem_responses(UnknownTask, InvalidRequest, DatabaseAway),
)
async def explain_task(task_id: str, parts: GivenParts, caller: GivenCaller) -> Response:
    """Why one task is where it is."""
    wanted = id_of(task_id)
    found = (
        None if wanted is None else await parts.views.explainer.of_task(wanted, reads_payloads=caller.reads_payloads)
    )
    if found is None:
        raise UnknownTask
    return json_response(explanation_view(str(wanted), found))


@router.get(
    "/v1/queues/{name}/explain",
    tags=["queues"],
    operation_id="explain_queue",
    summary="Explain why a queue waits",
    description="Why the task waits that is next: of those that are not sent the most urgent and then the oldest, else"
    " the one that was sent first. Where all that are due are held, the oldest of those.",
    response_model=QueueExplanationView,
    responses=example({"queue": "email", "next_task": EXAMPLE_EXPLANATION}, "The explanation.")
    | problem_responses(UnknownQueueName, InvalidRequest, DatabaseAway),
)
async def explain_queue(name: str, parts: GivenParts, caller: GivenCaller) -> Response:
    """Why one queue waits."""
    check_queue(parts.settings.topology, name)
    found = await parts.views.explainer.of_queue(name, reads_payloads=caller.reads_payloads)
    first = None if found is None else explanation_view(str(found[0]), found[1])
    return json_response({"queue": name, "next_task": first})


def explanation_view(task_id: str, found: Explanation) -> dict[str, Any]:
    """The fields of ``ExplanationView``."""
    return {
        **reason_view(found.root),
        "task_id": task_id,
        "also": [reason_view(one) for one in found.also],
        "as_of": moment(found.as_of),
    }


def reason_view(reason: Reason) -> dict[str, Any]:
    """The fields of ``ReasonView``."""
    return cast(dict[str, Any], _plain(asdict(reason)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return moment(value) if isinstance(value, datetime) else value

"""Error groups as the API shows them."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from pointsman_contract.states import TaskState
from pointsman_service.api.answers.answer import moment
from pointsman_service.api.answers.payloads import Payload
from pointsman_service.failures.standing import GroupState
from pointsman_service.observe.errors import ErrorGroup, GroupPage, WholeGroup

EXAMPLE_ID = "5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b77"
EXAMPLE_GROUP: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "task_type": "fetch_weather_data",
    "error_type": "httpx.ConnectTimeout",
    "message": "no answer from <host> within <n> s",
    "breaker": "dependency:api.weather.com",
    "state": "open",
    "new": True,
    "back_again": False,
    "count": 31,
    "failed_tasks": 7,
    "sparkline": [0, 4, 27],
    "total": {"count": 31, "failed_tasks": 7},
    "first_seen_at": "2026-11-28T21:41:07.204000Z",
    "last_seen_at": "2026-11-28T23:12:40.902000Z",
    "changed_at": "2026-11-28T21:41:07.204000Z",
    "example": {
        "task_id": "01a20271-c811-71a5-99c0-510fde22a57d",
        "attempt": 2,
        "message": "no answer from api.weather.com:443 within 5.0 s",
    },
    "judged": None,
    "ignored": None,
}
EXAMPLE_PAGE: dict[str, Any] = {
    "items": [EXAMPLE_GROUP],
    "next_cursor": None,
    "since": "2026-11-28T21:00:00Z",
    "step_seconds": 3600,
}
EXAMPLE_WHOLE: dict[str, Any] = {
    "since": "2026-11-28T21:00:00Z",
    "step_seconds": 3600,
    **EXAMPLE_GROUP,
    "traceback": 'Traceback (most recent call last):\n  File "/app/weather.py", line 41, in fetch\n…',
    "recent_tasks": [
        {
            "task_id": "01a20271-c811-71a5-99c0-510fde22a57d",
            "state": "failed",
            "queue": "external_api",
            "attempt": 2,
            "finished_at": "2026-11-28T23:12:40.902000Z",
        }
    ],
    "history": [
        {
            "at": "2026-11-28T20:12:00Z",
            "before": "open",
            "after": "resolved",
            "who": "ada",
            "reason": "they have a new address",
        }
    ],
}


class ErrorTotal(BaseModel):
    """Since it was first seen."""

    count: int
    failed_tasks: int


class ErrorExample(BaseModel):
    """The newest failure of a group."""

    task_id: str
    attempt: int
    message: Annotated[str, Payload("")]


class Judged(BaseModel):
    """Who last said something of it."""

    at: AwareDatetime
    who: str
    reason: str | None


class IgnoredView(BaseModel):
    """What ends that it is ignored: whichever comes first. Null: not that."""

    until: AwareDatetime | None
    per_hour: int | None = Field(description="More failures within an hour.")
    count: int | None = Field(description="More failures since it was ignored.")


class ErrorGroupView(BaseModel):
    """Failures with one cause: of one task type, with one type of error, one message without what differs each time,
    and from one place in the task's code.
    """

    id: str
    task_type: str
    error_type: str | None = Field(description="Null: of the group that takes the rest, or of an error without one.")
    message: Annotated[str, Payload("")] = Field(
        description="With a word for each number or id, time, URL, path, mail address, host and quoted text."
    )
    breaker: str | None = Field(description="The circuit breaker that its failures count for, where one is known.")
    state: GroupState
    new: bool = Field(description="First seen within a day, and nobody has dealt with it.")
    back_again: bool = Field(description="It was resolved, or ignored within a limit, and failed so again.")
    count: int = Field(description="Attempts that failed so since `since`.")
    failed_tasks: int = Field(description="Tasks that failed for good so since `since`.")
    sparkline: list[int] = Field(description="`count` by step, from `since` on.")
    total: ErrorTotal
    first_seen_at: AwareDatetime
    last_seen_at: AwareDatetime
    changed_at: AwareDatetime = Field(description="When it was first seen, came back, or was judged last.")
    example: ErrorExample
    judged: Judged | None
    ignored: IgnoredView | None = Field(description="Null unless it is ignored.")


class ErrorGroupList(BaseModel):
    """A page of groups."""

    items: list[ErrorGroupView]
    next_cursor: str | None
    since: AwareDatetime = Field(description="From when on is counted: the begin of the window's first step (UTC).")
    step_seconds: int = Field(description="Of a sparkline: a minute, an hour or a day.")


class RecentTask(BaseModel):
    """A task that failed so."""

    task_id: str
    state: TaskState = Field(description="As it is now.")
    queue: str
    attempt: int
    finished_at: AwareDatetime | None


class ErrorChange(BaseModel):
    """A change of the state of a group."""

    at: AwareDatetime
    before: GroupState
    after: GroupState
    who: str = Field(description="`pointsman` where it came back.")
    reason: str | None


class ErrorGroupWhole(ErrorGroupView):
    """One group with all that is known of it."""

    since: AwareDatetime
    step_seconds: int
    traceback: Annotated[str, Payload("")] = Field(description="Of the example.")
    recent_tasks: list[RecentTask] = Field(
        description="Some of the newest that are kept. All: `GET /v1/tasks?error_group=…`."
    )
    history: list[ErrorChange] = Field(description="The newest change first.")


def group_view(group: ErrorGroup) -> dict[str, Any]:
    """One group, as JSON has it."""
    judged = None
    if group.set_at is not None:
        judged = {"at": moment(group.set_at), "who": group.set_by, "reason": group.set_reason}
    ignored = group.ignored
    return {
        "id": str(group.id),
        "task_type": group.task_type,
        "error_type": group.error_type,
        "message": group.message,
        "breaker": group.blamed,
        "state": str(group.state),
        "new": group.is_new,
        "back_again": group.is_back_again,
        "count": group.count,
        "failed_tasks": group.tasks,
        "sparkline": list(group.sparkline),
        "total": {"count": group.occurrences, "failed_tasks": group.failed_tasks},
        "first_seen_at": moment(group.first_seen_at),
        "last_seen_at": moment(group.last_seen_at),
        "changed_at": moment(group.changed_at),
        "example": {
            "task_id": str(group.example_task_id),
            "attempt": group.example_attempt,
            "message": group.example_message,
        },
        "judged": judged,
        "ignored": None
        if ignored is None
        else {"until": moment(ignored.until), "per_hour": ignored.per_hour, "count": ignored.count},
    }


def page_view(page: GroupPage) -> dict[str, Any]:
    """A page, as JSON has it."""
    return {
        "items": [group_view(group) for group in page.groups],
        "next_cursor": None if page.following is None else f"{page.following[0]}.{page.following[1].hex}",
        "since": moment(page.since),
        "step_seconds": page.step_seconds,
    }


def whole_view(whole: WholeGroup) -> dict[str, Any]:
    """One group with all that is known of it, as JSON has it."""
    return {
        "since": moment(whole.since),
        "step_seconds": whole.step_seconds,
        **group_view(whole.group),
        "traceback": whole.traceback,
        "recent_tasks": [
            {
                "task_id": str(task["id"]),
                "state": task["state"],
                "queue": task["queue"],
                "attempt": task["attempt"],
                "finished_at": moment(task["finished_at"]),
            }
            for task in whole.recent_tasks
        ],
        "history": [
            {
                "at": moment(change["at"]),
                "before": change["before"],
                "after": change["after"],
                "who": change["actor"],
                "reason": change["reason"],
            }
            for change in whole.changes
        ],
    }

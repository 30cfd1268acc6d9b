"""What tasks are narrowed to: the parameters that lists and streams of them have in common, each stated once."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from pointsman_contract.states import TaskState
from pointsman_service.access.links import LONGEST, PARAMETER
from pointsman_service.api.requests.filters import LONGEST_WORKER, TAG_PATTERN
from pointsman_service.api.requests.ids import Id

OfState = Annotated[TaskState | None, Query(description="Only tasks in this state.")]
OfQueue = Annotated[str | None, Query(max_length=63, description="Only tasks of this queue.")]
OfType = Annotated[str | None, Query(max_length=200, description="Only tasks of this type.")]
OfCaller = Annotated[str | None, Query(max_length=255, description="Only tasks that this caller submitted.")]
OfFairnessKey = Annotated[
    str | None, Query(min_length=1, max_length=64, description="Only tasks that were submitted with this fairness key.")
]
Linked = Annotated[
    str | None,
    Query(
        alias=PARAMETER,
        max_length=LONGEST,
        pattern="^[A-Za-z0-9_-]*$",
        description="Of a signed link, which opens this task without a key.",
    ),
]
OfWorker = Annotated[
    str | None,
    Query(
        max_length=LONGEST_WORKER,
        description="Only tasks whose newest attempt this worker ran: in any of its lives, or with `#…` (as tasks show"
        " it; `%23…` in a URL) in that one.",
    ),
]
_LONGEST_ERROR_TYPE = 300
OfErrorAtEnd = Annotated[
    str | None,
    Query(max_length=_LONGEST_ERROR_TYPE, description="Only ended tasks whose last attempt failed with this error."),
]
OfError = Annotated[
    str | None,
    Query(max_length=_LONGEST_ERROR_TYPE, description="Only tasks whose last attempt failed with this error."),
]
"""Of a stream: also of tasks that wait for their next attempt."""
OfErrorGroup = Annotated[
    Id | None,
    Query(
        description="Only tasks whose last attempt that has ended failed with an error of this group, whether they have"
        " ended or not."
    ),
]
MOST_NAMED = 100
OfTasks = Annotated[
    list[Id] | None,
    Query(max_length=MOST_NAMED, description="Only the task with this id; given more than once, only those."),
]
Named = Annotated[
    list[Id] | None,
    Query(
        max_length=MOST_NAMED,
        description="Only the task with this id; given more than once, only those. They are one page, whatever `limit`"
        " says.",
    ),
]
OfTags = Annotated[
    list[Annotated[str, Field(json_schema_extra={"pattern": TAG_PATTERN})]] | None,
    Query(
        max_length=20,
        description="`name:value`, either with colons of its own or without; given more than once, all must match.",
    ),
]

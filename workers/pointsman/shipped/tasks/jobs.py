"""Tasks about tasks."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from pydantic import Field

from pointsman.app import app
from pointsman.bases import CriticalTask
from pointsman.settings import settings
from pointsman.shipped.control_plane import control_plane
from pointsman_client.errors import ClientError
from pointsman_client.problems import TaskFinished, UnknownTask

if TYPE_CHECKING:
    from pointsman_client.sync.client import Client

_PAGE = 100
_IDS_SHOWN = 100
_ERRORS_SHOWN = 5
_RUN_SECONDS = 15.0
"""No task is cancelled after this, so that the run ends before its soft time limit of 25 s."""
_CALL_SECONDS = 8.0
_FAILURES_IN_A_ROW = 5


class Closed(TypedDict):
    """What ``auto_close_jobs`` returns."""

    matched: int
    """Tasks that were found."""
    cancelled: int
    requested: int
    """Began to run meanwhile, or Redis is away: the control plane does the rest."""
    finished: int
    """Ended otherwise meanwhile."""
    gone: int
    failed: int
    """Calls that failed; the next run finds these tasks again."""
    more: bool
    """Whether the limit, or the time, ended the run before the last task."""
    dry_run: bool
    ids: list[str]
    """The first hundred that were cancelled or requested; with ``dry_run`` that would be."""
    errors: list[str]
    """What the first five failed calls said."""


@app.task(name="auto_close_jobs", base=CriticalTask, bind=True)
def auto_close_jobs(
    self: Any,
    tag: Annotated[str, Field(pattern=r"^[^:\x00]+:[^\x00]*$", max_length=400)],
    older_than_seconds: Annotated[float, Field(ge=0, le=10 * 366 * 86_400)],
    state: Literal["queued", "scheduled", "held", "retrying"] = "queued",
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000,
    dry_run: bool = False,
) -> Closed:
    """Cancels tasks that carry a tag (name:value) and were submitted so long ago, newest first, through the API.

    An API that is away is retried; what was cancelled stays so. A task that begins to run between being listed and
    being cancelled ends after its attempt.
    """
    until = time.monotonic() + _RUN_SECONDS
    closed: Closed = {
        "matched": 0, "cancelled": 0, "requested": 0, "finished": 0, "gone": 0, "failed": 0, "more": False,
        "dry_run": dry_run, "ids": [], "errors": [],
    }  # fmt: skip
    before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    in_a_row = 0
    with control_plane(settings(), longest_seconds=_CALL_SECONDS) as client:
        # A task that leaves the list meanwhile moves no other to another page.
        for task in client.tasks.each(tag=[tag], state=state, submitted_before=before, limit=_PAGE):
            task_id = task.id
            if closed["matched"] >= limit or time.monotonic() > until:
                closed["more"] = True
                break
            if task_id == self.request.id:
                continue
            closed["matched"] += 1
            if dry_run:
                _show(closed, task_id)
                continue
            try:
                _cancel(client, task_id, closed)
                in_a_row = 0
            except ClientError as error:
                in_a_row += 1
                if in_a_row >= _FAILURES_IN_A_ROW:
                    raise
                closed["failed"] += 1
                if len(closed["errors"]) < _ERRORS_SHOWN:
                    closed["errors"].append(f"{task_id}: {error}")
    return closed


def _cancel(client: "Client", task_id: str, closed: Closed) -> None:
    try:
        done = client.tasks.cancel(task_id, end_running=False)
    except TaskFinished:
        closed["finished"] += 1
    except UnknownTask:
        closed["gone"] += 1
    else:
        closed["cancelled" if done.state == "cancelled" else "requested"] += 1
        _show(closed, task_id)


def _show(closed: Closed, task_id: str) -> None:
    if len(closed["ids"]) < _IDS_SHOWN:
        closed["ids"].append(task_id)

"""Tasks about tasks."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from pointsman.app import app
from pointsman.bases import CriticalTask
from pointsman.settings import settings
from pointsman.shipped.control_plane import ControlPlane, ControlPlaneAway, ControlPlaneRefused, problem

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
    with ControlPlane.of(settings(), longest_seconds=_CALL_SECONDS) as api:
        for task_id in _listed(api, tag=tag, state=state, submitted_before=before.isoformat()):
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
                _cancel(api, task_id, closed)
                in_a_row = 0
            except (ControlPlaneAway, ControlPlaneRefused) as error:
                in_a_row += 1
                if in_a_row >= _FAILURES_IN_A_ROW:
                    raise
                closed["failed"] += 1
                if len(closed["errors"]) < _ERRORS_SHOWN:
                    closed["errors"].append(f"{task_id}: {error}")
    return closed


def _listed(api: ControlPlane, **wanted: Any) -> Iterator[str]:
    """The ids of the tasks, page by page. A task that leaves the list meanwhile moves no other to another page."""
    cursor: str | None = None
    while True:
        page = api.get("/v1/tasks", limit=_PAGE, cursor=cursor, **wanted)
        yield from (task["id"] for task in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _cancel(api: ControlPlane, task_id: str, closed: Closed) -> None:
    answer = api.call("POST", f"/v1/tasks/{task_id}/cancel", {"end_running": False})
    status = answer.status_code
    if status == 200:
        closed["cancelled"] += 1
        _show(closed, task_id)
    elif status == 202:
        closed["requested"] += 1
        _show(closed, task_id)
    elif status == 409:
        closed["finished"] += 1
    elif status == 404 and str(problem(answer).get("type", "")).endswith("unknown-task"):
        closed["gone"] += 1
    else:
        raise ControlPlaneRefused(f"answered {status}: {problem(answer).get('detail', '')}"[:300])


def _show(closed: Closed, task_id: str) -> None:
    if len(closed["ids"]) < _IDS_SHOWN:
        closed["ids"].append(task_id)

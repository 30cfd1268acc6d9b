"""The bodies of events as JSON text, as a worker writes them. Built on the way of every task: nothing here checks what
its types say already.
"""

import json
from functools import lru_cache

from pointsman_contract.events import (
    CatalogueBody,
    Ended,
    Ending,
    NativeBody,
    ProgressBody,
    RevokedBody,
    StartedBody,
    UnclaimedBody,
)

NoteBody = StartedBody | UnclaimedBody | RevokedBody | ProgressBody | NativeBody | CatalogueBody
"""Whatever is no outcome."""

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def body_text(body: NoteBody) -> str:
    """The JSON of a body. It is plain ASCII, so that any text can be sent."""
    return json.dumps(body)


def started_text(task_type: str, queue: str, worker: str, dispatch: int) -> str:
    """The JSON of a ``StartedBody``."""
    return f"{_about(task_type, queue, worker)}{dispatch}}}"


def outcome_text(started: str, started_at: float, run_seconds: float, ending: Ending) -> str:
    """The JSON of an ``OutcomeBody``; ``started`` is that of the ``StartedBody`` it repeats. The texts of the ending
    are clean (``pointsman_contract.clean_text``): they are sent as they are.
    """
    ended: Ended = {"started_at": started_at, "run_seconds": round(run_seconds, 6), **ending}
    return f"{started[:-1]},{_ENCODER.encode(ended)[1:]}"


@lru_cache(maxsize=256)
def _about(task_type: str, queue: str, worker: str) -> str:
    """A ``StartedBody`` up to its last value, the dispatch: the rest is the same for all tasks of a kind."""
    started: StartedBody = {"task_type": task_type, "queue": queue, "worker": worker, "dispatch": 0}
    return body_text(started).removesuffix("0}")

"""Rows that were sent so long ago that nobody remembers their keys any more."""

import json
from datetime import datetime, timedelta

from pointsman_client.errors import Refused
from pointsman_client.outbox.entry import TAG
from pointsman_client.outbox.rows import Fate, Row, RowState
from pointsman_client.sync.client import Client

_SURE = 0.9
"""Of the time that a key is remembered: clocks differ, and requests take their time."""
_EARLIER = timedelta(hours=1)
"""By which the clock of a relay may be ahead of Pointsman's."""
_IN_DOUBT = "urn:pointsman:problem:outbox-in-doubt"


class Doubts:
    """Finds out what became of rows whose key, remembered for ``key_seconds``, would not keep them from running twice.

    Each task has its key as a tag. Where no task has it, and tasks are kept for longer than the doubt is old
    (``kept_seconds``), there is none, and the row is sent again. Beyond that somebody has to decide.
    """

    def __init__(self, client: Client, key_seconds: float, kept_seconds: float) -> None:
        self._client = client
        self._remembered = timedelta(seconds=key_seconds * _SURE)
        self._kept = timedelta(seconds=kept_seconds)

    def is_old(self, row: Row, now: datetime) -> bool:
        """Whether to send it again might make a second task."""
        return row.doubtful_since is not None and now - row.doubtful_since >= self._remembered

    def fate(self, row: Row, now: datetime) -> Fate | None:
        """What became of it; None: there is no task of it. Raises ``ClientError``."""
        since = row.doubtful_since or now
        try:
            found = next(
                iter(self._client.tasks.each(tag=[f"{TAG}:{row.key}"], submitted_after=since - _EARLIER)), None
            )
        except Refused as error:
            if error.problem not in ("scope-missing", "outside-key"):
                raise
            return _refused(row, f"and the key of the relay may not look for it: {error}")
        if found is not None:
            return Fate(row, RowState.SENT, task_id=found.id)
        if now - since >= self._kept:
            return _refused(row, "and a task that ran since may have been removed already")
        return None


def _refused(row: Row, why: str) -> Fate:
    detail = (
        f"Nobody knows whether it was stored when it was first sent, at {row.doubtful_since}, {why}."
        " Retry it if it may run twice, drop it if not."
    )
    problem = json.dumps({"type": _IN_DOUBT, "title": "In doubt", "status": 409, "detail": detail})
    return Fate(row, RowState.REFUSED, problem=problem, is_doubtful=True)

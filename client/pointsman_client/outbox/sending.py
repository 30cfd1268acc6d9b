"""Rows of an outbox as few requests, and what each answer means for each of them."""

import json
import random
from collections.abc import Iterator, Sequence

from pointsman_client.calling.batches import call_of, chunks_of, each_error, results_of
from pointsman_client.errors import ClientError, NeverSent, Refused
from pointsman_client.outbox.rows import Fate, Row, RowState
from pointsman_client.problems import NothingAccepted
from pointsman_client.sync.client import Client
from pointsman_client.wire import Clock

_FIRST_SECONDS = 1.0
_MOST_SECONDS = 300.0
_OF_A_TASK = frozenset({"backlog-full", "breaker-open", "sla-at-risk"})
"""Answers to a whole request that are about its tasks, and not about everybody's."""
_MAY_BE_STORED = frozenset({"outcome-unknown", "idempotency-key-in-use", ""})
_OF_THE_KEY = (401, 403)
"""A key that is mended lets the row pass."""
_LATER = (408, 425, 429)


class Sending:
    """The requests of one pass: at most ``most`` of them, the last one begun before ``clock`` is over."""

    def __init__(self, client: Client, clock: Clock, most: int, items: int) -> None:
        self._client, self._clock, self._left, self._items = client, clock, most, items
        self.failed: ClientError | None = None
        """Why nothing more was sent."""
        self.trouble: ClientError | None = None
        """An error of the API itself, whichever row it was about."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be asked in this pass."""
        return self.failed is not None or self._left <= 0 or self._clock.left <= 0

    def fates(self, rows: Sequence[Row]) -> Iterator[Fate]:
        """What becomes of each row. One that is at fault is found among others, which are sent without it."""
        chunks = list(chunks_of(rows, self._items))
        while chunks:
            chunk = chunks.pop(0)
            if self.is_over:
                yield from (Fate(row, RowState.WAITING) for row in chunk)
                continue
            self._left -= 1
            try:
                yield from self._sent(chunk)
            except ClientError as error:
                if not _is_of_some(error):
                    self.failed = error
                    doubt, said = is_doubtful(error), _problem(error)
                    yield from (Fate(row, RowState.WAITING, problem=said, is_doubtful=doubt) for row in chunk)
                    continue
                if isinstance(error, Refused) and error.status >= 500 and not _is_of_tasks(error):
                    self.trouble = error
                if len(chunk) > 1 and not _is_of_tasks(error):
                    middle = len(chunk) // 2
                    chunks[:0] = [chunk[:middle], chunk[middle:]]
                else:
                    yield from (fate_of(row, error) for row in chunk)

    def _sent(self, chunk: Sequence[Row]) -> list[Fate]:
        try:
            results = results_of(self._client.ask(call_of(chunk, atomic=False)), len(chunk))
        except NothingAccepted as error:
            return [fate_of(row, each) for row, each in zip(chunk, each_error(error, len(chunk)), strict=True)]
        return [
            fate_of(row, each) if isinstance(each, Refused) else Fate(row, RowState.SENT, task_id=str(each["id"]))
            for row, each in zip(chunk, results, strict=True)
        ]


def fate_of(row: Row, error: ClientError) -> Fate:
    """Of a row that was refused: for good, where no later answer to the same request can be another."""
    passes = not isinstance(error, Refused) or (
        error.status >= 500
        or (not error.problem and error.status != 413)  # by somebody on the way, who may be mended
        or error.status in (*_LATER, *_OF_THE_KEY)
        or error.problem == "idempotency-key-in-use"
    )  # fmt: skip
    if not passes:
        return Fate(row, RowState.REFUSED, problem=_problem(error))
    asked = error.retry_after_seconds if isinstance(error, Refused) else None
    rest = pause_seconds(row.tries, asked)
    return Fate(row, RowState.WAITING, problem=_problem(error), rest_seconds=rest, is_doubtful=is_doubtful(error))


def pause_seconds(times: int, asked: float | None = None, most: float = _MOST_SECONDS) -> float:
    """Before the next try, after that many others; never less than ``asked``, and no two relays the same."""
    longest = min(most, _FIRST_SECONDS * 2.0 ** min(times, 16))
    drawn = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return drawn if asked is None else max(drawn, asked * random.uniform(1.0, 1.1))  # noqa: S311 - no secret


def is_doubtful(error: ClientError) -> bool:
    """Whether something may have been stored all the same."""
    if isinstance(error, NeverSent):
        return False
    if not isinstance(error, Refused):
        return True
    if error.status == 503 or error.status == 409:
        return error.problem in _MAY_BE_STORED
    return error.status >= 500


def _is_of_some(error: ClientError) -> bool:
    """Whether fewer rows at once, or others, may be answered otherwise."""
    if not isinstance(error, Refused):
        return False
    return error.status in (400, 413, 422, 500) or error.problem == "outside-key" or _is_of_tasks(error)


def _is_of_tasks(error: ClientError) -> bool:
    return isinstance(error, Refused) and error.problem in _OF_A_TASK


def _problem(error: ClientError) -> str:
    """The document, or what is known in place of one."""
    if not isinstance(error, Refused):
        return json.dumps({"detail": str(error)})
    told = {"status": error.status, "detail": str(error)} | dict(error.document)
    told.pop("results", None)
    return json.dumps(told if error.request_id is None else told | {"request_id": error.request_id})

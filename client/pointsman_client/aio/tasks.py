"""Tasks: submitted, one or many, and what becomes of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pointsman_client.aio.ends import EndsOfTasks, Waiting
from pointsman_client.aio.handle import Handle
from pointsman_client.calling.batches import MOST_ITEMS, Item, call_of, chunks_of, each_error, items_of, results_of
from pointsman_client.calling.retrying import is_for_now
from pointsman_client.calling.saying import Saying
from pointsman_client.errors import ClientClosed, ClientError, NeverSent, OtherLoop, Refused, Unreachable
from pointsman_client.models import BatchItem, Task
from pointsman_client.pausing import apause
from pointsman_client.problems import (
    BodyTooLarge,
    InvalidRequest,
    NothingAccepted,
    ScopeMissing,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from pointsman_client.wire import Clock

_OF_ALL = (ClientClosed, OtherLoop, ScopeMissing, TooManyRequests, Unauthenticated, Unavailable, Unreachable)
"""What would become of every other request, too."""
_OF_THE_WHOLE = (BodyTooLarge, InvalidRequest)
"""Too much for one request, or one item that no parser reads: others are taken without it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one of many: a ``handle``, or the ``error`` for which there is none. Where the error leaves open
    whether it was stored, to submit it again with its ``key`` is safe.
    """

    key: str
    handle: Handle | None
    error: ClientError | None = None


class Tasks(EndsOfTasks, Saying):
    """``client.tasks``: submissions as one line, and every operation of tasks."""

    def __init__(self, client: Waiting, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(client)
        Saying.__init__(self, options)

    def _with(self, options: Mapping[str, Any]) -> Self:
        return type(self)(self._waiting, options)

    async def submit(self, task_type: str, /, *args: Any, **kwargs: Any) -> Handle:
        """Submit one task with these arguments: once this returns it is stored, and runs to one end.

        It is sent again with the same key when an answer gets lost, and stored once all the same. Raises a class of
        ``problems`` for what is refused: ``UnknownTaskType``, ``InvalidArguments``, ``BacklogFull``, …
        """
        options = self._options
        task = await self.submit_task(task_type=task_type, args=args or None, kwargs=kwargs or None, **options)
        return Handle(self, task.id, task)

    async def submit_many(
        self, tasks: Iterable[BatchItem], *, atomic: bool = False, at_once: int = MOST_ITEMS
    ) -> list[Submitted]:
        """Submit many, ``at_once`` at most in a request and a commit. What became of each, in order: one that is
        refused refuses no other, unless it is ``atomic``. Then they have to fit into one request.

        Those that are refused for now, because of a rate, a quota or a backlog, are submitted again by themselves and
        with their keys, within the ``timeout`` of the client for each request; the first time that does not suffice,
        those after it are submitted once. Raises nothing for what became of them: once a request was given up, those
        after it are not sent.
        """
        options = {name: value for name, value in self._options.items() if name != "idempotency_key"}
        chunks = list(chunks_of(items_of(tasks, options), min(at_once, MOST_ITEMS)))
        if atomic and len(chunks) > 1:
            raise ValueError("an atomic batch has to fit into one request")
        done: list[Submitted] = []
        given_up: ClientError | None = None
        is_patient = True
        while chunks:
            chunk = chunks.pop(0)
            if given_up is not None:
                left = NeverSent(f"not sent, because the one before it was given up: {given_up}")
                done += [Submitted(item.key, None, left) for item in chunk]
                continue
            told, failed = await self._submit_chunk(chunk, atomic=atomic, is_patient=is_patient)
            is_of_the_whole = isinstance(failed, _OF_THE_WHOLE) and not isinstance(failed, NothingAccepted)
            if is_of_the_whole and len(chunk) > 1 and not atomic:
                middle = len(chunk) // 2
                chunks[:0] = [chunk[:middle], chunk[middle:]]
                continue
            done += told
            is_patient = is_patient and not any(is_for_now(each.error) for each in told)
            if isinstance(failed, _OF_ALL):
                given_up = failed
        return done

    async def _submit_chunk(
        self, chunk: list[Item], *, atomic: bool, is_patient: bool
    ) -> tuple[list[Submitted], ClientError | None]:
        """What became of each, and why nothing of them was asked for again: what refused all of them, or that nobody
        answered.
        """
        clock, times = Clock(self._waiting.timeout), 0
        told: dict[int, Submitted] = {}
        failed: ClientError | None = None
        places = list(range(len(chunk)))
        while places and failed is None:
            times += 1
            call = call_of([chunk[place] for place in places], atomic=atomic)
            results: Sequence[Mapping[str, Any] | ClientError]
            try:
                results = results_of(await self._client.ask(call, seconds=clock.left), len(places))
            except ClientError as error:
                results, failed = each_error(error, len(places)), error
            rests: dict[int, float] = {}
            for place, result in zip(places, results, strict=True):
                told[place] = self._submitted(chunk[place], result)
                if is_patient and failed is None and isinstance(result, ClientError):
                    rest = self._waiting.retries.pause(call, result, times, clock.left)
                    if rest is not None:
                        rests[place] = rest
            places = list(rests)
            if places:
                await apause(max(rests.values()))
        # Others were taken: what refused these says nothing of those that come after them.
        is_of_some = times > 1 and isinstance(failed, Refused)
        return [told[place] for place in range(len(chunk))], None if is_of_some else failed

    def _submitted(self, item: Item, result: Mapping[str, Any] | ClientError) -> Submitted:
        if isinstance(result, ClientError):
            return Submitted(item.key, None, result)
        task = Task(result)
        return Submitted(item.key, Handle(self, task.id, task))

    def handle(self, task_id: str) -> Handle:
        """A handle of a task that is there already. Nothing is asked."""
        return Handle(self, task_id)

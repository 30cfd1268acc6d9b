"""Tasks: submitted, one or many, and what becomes of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pointsman_client.aio.ends import EndsOfTasks, Waiting
from pointsman_client.aio.handle import Handle
from pointsman_client.calling.batches import MOST_ITEMS, Item, call_of, chunks_of, items_of
from pointsman_client.calling.documents import document_of
from pointsman_client.calling.refusing import refused_by
from pointsman_client.calling.saying import Saying
from pointsman_client.errors import ClientError, NeverSent, Refused, Unreachable
from pointsman_client.models import BatchItem, Task
from pointsman_client.problems import BodyTooLarge, NothingAccepted, Unavailable


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

        Raises nothing for what became of them: once a request was given up, those after it are not sent.
        """
        options = {name: value for name, value in self._options.items() if name != "idempotency_key"}
        chunks = list(chunks_of(items_of(tasks, options), min(at_once, MOST_ITEMS)))
        if atomic and len(chunks) > 1:
            raise ValueError("an atomic batch has to fit into one request")
        done: list[Submitted] = []
        given_up: ClientError | None = None
        while chunks:
            chunk = chunks.pop(0)
            if given_up is not None:
                left = NeverSent(f"not sent, because the one before it was given up: {given_up}")
                done += [Submitted(item.key, None, left) for item in chunk]
                continue
            try:
                done += await self._submit_chunk(chunk, atomic=atomic)
            except BodyTooLarge as error:
                if atomic or len(chunk) == 1:
                    done += [Submitted(item.key, None, error) for item in chunk]
                else:
                    middle = len(chunk) // 2
                    chunks[:0] = [chunk[:middle], chunk[middle:]]
            except ClientError as error:
                done += [Submitted(item.key, None, error) for item in chunk]
                if isinstance(error, Unreachable | Unavailable):
                    given_up = error
        return done

    async def _submit_chunk(self, chunk: list[Item], *, atomic: bool) -> list[Submitted]:
        try:
            answer = await self._client.ask(call_of(chunk, atomic=atomic))
        except NothingAccepted as error:
            # Each says why; in an atomic batch those that were not at fault say nothing.
            results = error.document.get("results") or [None] * len(chunk)
            return [
                Submitted(item.key, None, error if result is None else _error_of(result, error.request_id))
                for item, result in zip(chunk, results, strict=True)
            ]
        results = document_of(answer)["results"]
        return [self._submitted(item, result, answer.request_id) for item, result in zip(chunk, results, strict=True)]

    def _submitted(self, item: Item, result: Mapping[str, Any], request_id: str | None) -> Submitted:
        if result.get("task") is None:
            return Submitted(item.key, None, _error_of(result, request_id))
        task = Task(result["task"])
        return Submitted(item.key, Handle(self, task.id, task))

    def handle(self, task_id: str) -> Handle:
        """A handle of a task that is there already. Nothing is asked."""
        return Handle(self, task_id)


def _error_of(result: Mapping[str, Any], request_id: str | None) -> Refused:
    return refused_by(result.get("problem") or {}, int(result.get("status") or 500), request_id)

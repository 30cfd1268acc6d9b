"""Many submissions, in as few requests as an API takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, TypeVar, cast

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call, encode, new_key
from pointsman_client.calling.documents import document_of
from pointsman_client.calling.refusing import refused_by, retry_after
from pointsman_client.errors import ClientError, Refused
from pointsman_client.models import BatchItem

MOST_ITEMS = 1000
_MOST_BYTES = 4 * 1024 * 1024
"""Half of what an API takes by default."""


class Written(Protocol):
    """A submission as JSON text."""

    @property
    def text(self) -> bytes:
        """With its key."""
        ...


T = TypeVar("T", bound=Written)


@dataclass(frozen=True, slots=True)
class Item:
    """One of them, ready to be sent, with the key that makes it safe to send it twice."""

    key: str
    task_type: str
    text: bytes


def items_of(tasks: Iterable[BatchItem], defaults: Mapping[str, Any]) -> Iterator[Item]:
    """Each with a key: its own, or a new one. ``defaults`` are fields of those that do not say otherwise."""
    for task in tasks:
        key = task.get("idempotency_key") or new_key()
        fields = {**defaults, **cast(Mapping[str, Any], task), "idempotency_key": key}
        yield Item(key, task["task_type"], encode({name: value for name, value in fields.items() if value is not None}))


def chunks_of(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Lists of at most ``most``, none longer than a request may be unless a single item is."""
    chunk: list[T] = []
    length = 0
    for item in items:
        if chunk and (len(chunk) >= most or length + len(item.text) > _MOST_BYTES):
            yield chunk
            chunk, length = [], 0
        chunk.append(item)
        length += len(item.text)
    if chunk:
        yield chunk


def call_of(chunk: Sequence[Written], *, atomic: bool) -> Call:
    """The request that submits them."""
    text = b'{"atomic":%b,"tasks":[%b]}' % (b"true" if atomic else b"false", b",".join(item.text for item in chunk))
    return Call("submit_batch", "POST", "/v1/tasks/batch", body=text, repeatable=True)


def results_of(answer: Answer, count: int) -> list[Mapping[str, Any] | Refused]:
    """The task of each, or why there is none. Raises ``Refused`` for an answer that does not say so: then nobody knows
    what became of them.
    """
    told = document_of(answer).get("results")
    if not _is_told(told, count):
        raise Refused(
            "what answers there is no Pointsman: it does not say what became of each task",
            status=502,
            request_id=answer.request_id,
        )
    after = retry_after(answer)
    return [_task_of(each) or _refused(each, answer.request_id, after) for each in told]


def each_error(error: ClientError, count: int) -> list[ClientError]:
    """What refused a request, for each of its items: many a refusal says more of each. In an atomic batch those that
    were not at fault say nothing.
    """
    told = error.document.get("results") if isinstance(error, Refused) else None
    if not isinstance(error, Refused) or not _is_told(told, count):
        return [error] * count
    after = error.retry_after_seconds
    return [error if not each else _refused(each, error.request_id, after) for each in told]


def _is_told(told: Any, count: int) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(told, list) and len(told) == count and all(isinstance(each or {}, dict) for each in told)


def _task_of(told: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    task = (told or {}).get("task")
    return task if isinstance(task, dict) and "id" in task else None


def _refused(told: Mapping[str, Any] | None, request_id: str | None, after: float | None) -> Refused:
    status, problem = (told or {}).get("status"), (told or {}).get("problem")
    known = status if isinstance(status, int) and status >= 400 else 500
    return refused_by(problem if isinstance(problem, dict) else {}, known, request_id, after)

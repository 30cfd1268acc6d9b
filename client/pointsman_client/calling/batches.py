"""Many submissions, in as few requests as an API takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from pointsman_client.calling.call import Call, encode, new_key
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

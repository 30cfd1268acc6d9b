"""What a JSON text can hold that PostgreSQL, another JSON reader or Celery cannot carry."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from pointsman_contract.catalogue import pointer
from pointsman_contract.typed_values import can_be_read
from pointsman_service.errors import FAULTS_SHOWN, FieldError

_CONTAINERS: Final = (dict, list)
_Trail = tuple[Any, str | int] | None
"""The way to a value: the way to its container, and its key or index there."""


def uncarried(value: object, most_values: int | None = None) -> list[FieldError]:
    """The first 20 strings with a NUL or half of a surrogate pair, numbers that are not finite, and values in Celery's
    words that Celery could not read, by pointer.

    Nothing is looked at after them, nor after ``most_values`` values.
    """
    return list(islice(_faults(islice(_every(value), most_values)), FAULTS_SHOWN))


def is_deeper(value: object, depth: int) -> bool:
    """Whether arrays and objects stand in each other more than ``depth`` deep; one alone is 1 deep."""
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
    return bool(level)


def holds_more_than(most: int, value: object) -> bool:
    """Whether there are more than ``most`` values in it, itself and containers counted."""
    return next(islice(_every(value), most, None), None) is not None


def _faults(values: Iterable[tuple[_Trail, Any]]) -> Iterator[FieldError]:
    for trail, value in values:
        if trail is not None and isinstance(trail[1], str) and (fault := _fault_of(trail[1])):
            yield FieldError(pointer=_pointer(trail[0]), detail=f"has a key with {fault}")
        if isinstance(value, str):
            if fault := _fault_of(value):
                yield FieldError(pointer=_pointer(trail), detail=f"contains {fault}")
        elif isinstance(value, float) and not math.isfinite(value):
            yield FieldError(pointer=_pointer(trail), detail="is not a finite number")
        elif isinstance(value, dict) and not can_be_read(value):
            yield FieldError(pointer=_pointer(trail), detail="is no value that Celery can read: __type__ and __value__")


def _fault_of(text: str) -> str | None:
    if "\x00" in text:
        return "a NUL character"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return None


def _every(value: object) -> Iterator[tuple[_Trail, Any]]:
    """Every value in the order of the text, each before what it holds. Not recursive: no depth exhausts the stack."""
    yield None, value
    opened: list[tuple[_Trail, Iterator[tuple[str | int, Any]]]] = [(None, _entries(value))]
    while opened:
        trail, entries = opened[-1]
        for key, item in entries:
            here = (trail, key)
            yield here, item
            if type(item) in _CONTAINERS:
                opened.append((here, _entries(item)))
                break
        else:
            opened.pop()


def _entries(value: object) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())


def _pointer(trail: _Trail) -> str:
    parts: list[str | int] = []
    while trail is not None:
        trail, part = trail
        parts.append(part if isinstance(part, int) else part.encode(errors="replace").decode())
    return pointer(*reversed(parts))

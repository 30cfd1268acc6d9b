"""What of an answer is a payload: what callers and bodies wrote, which only those see who may.

A field of a view is marked with what stands in its place: ``args: Annotated[list[Any], Payload([])]``. ``mask`` goes by
the view that an operation documents, so nothing else needs to know of it.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MASKED_FIELD = "masked"
"""A view that has a field of this name says in it what was masked."""


class Payload:
    """Marks a field of a view."""

    def __init__(self, instead: object = None, *, made: Callable[[dict[str, Any]], object] | None = None) -> None:
        """``instead``: what is shown for it; ``made``: makes that, from the view."""
        self._instead = instead
        self._made = made

    def of(self, view: dict[str, Any]) -> object:
        """What is shown in the view."""
        return self._instead if self._made is None else self._made(view)


def mask(model: Any, content: Any) -> list[str]:
    """Mask ``content``, an answer in the shape of ``model``, in place. The names of what was masked and said something,
    by fields.
    """
    masked: list[str] = []
    for kind in _models_in(model):
        masked += _mask_each(kind, content)
    return masked


def _mask_each(kind: type[BaseModel], content: Any) -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from _mask_each(kind, item)
    elif isinstance(content, dict):
        yield from _mask_one(kind, content)


def _mask_one(kind: type[BaseModel], view: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, payload, inner in _plan(kind):
        if name not in view:
            continue
        if payload is not None:
            instead = payload.of(view)
            if view[name] != instead:
                view[name] = instead
                found.append(name)
            continue
        for model in inner:
            below = list(_mask_each(model, view[name]))
            if not below and isinstance(view[name], dict):
                for item in view[name].values():
                    below += _mask_each(model, item)
            found += [f"{name}.{one}" for one in below]
    if MASKED_FIELD in kind.model_fields and found:
        view[MASKED_FIELD] = sorted({*found, *view.get(MASKED_FIELD, ())})
    return found


@cache
def _plan(kind: type[BaseModel]) -> tuple[tuple[str, Payload | None, tuple[type[BaseModel], ...]], ...]:
    plan = []
    for name, field in kind.model_fields.items():
        payload = next((one for one in field.metadata if isinstance(one, Payload)), None)
        inner = () if payload is not None else tuple(one for one in _models_in(field.annotation) if _has_payloads(one))
        if payload is not None or inner:
            plan.append((_alias(name, field), payload, inner))
    return tuple(plan)


@cache
def _has_payloads(kind: type[BaseModel]) -> bool:
    return bool(_plan(kind))


def _models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(model for part in get_args(annotation) for model in _models_in(part))


def _alias(name: str, field: FieldInfo) -> str:
    return field.serialization_alias or field.alias or name

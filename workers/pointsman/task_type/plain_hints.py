"""Type hints that JSON's own values satisfy: nothing is to be built for them, but that 2.0 is to be an ``int``'s 2."""

import inspect
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

Convert = Callable[[Any], Any]

_PLAIN = (str, int, float, bool, type(None), list, dict, Any, object, inspect.Parameter.empty)
_UNIONS = (Union, types.UnionType)


def is_plain(hint: Any, within: frozenset[Any] = frozenset()) -> bool:
    """Whether JSON's own values are what the hint asks for. ``within``: the typed dictionaries it is part of."""
    origin = get_origin(hint)
    if typing.is_typeddict(hint):
        return hint in within or all(is_plain(part, within | {hint}) for part in _fields(hint).values())
    if origin is None:
        return hint in _PLAIN
    if origin is Literal:
        return True
    if origin is dict:
        key, value = get_args(hint)
        # The names in a JSON object are strings; other keys are to be built.
        return key in (str, Any, object) and is_plain(value, within)
    if origin is list or origin in _UNIONS:
        return all(is_plain(part, within) for part in get_args(hint))
    return False


def whole_numbers(hint: Any, within: frozenset[Any] = frozenset()) -> Convert | None:
    """Gives a value with an ``int`` wherever the hint asks for one; None where it asks for none.

    JSON knows one kind of number: a schema that asks for an integer admits 2.0 too.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint is int:
        return _whole
    if origin is Annotated:
        return whole_numbers(parts[0], within)
    if origin is Literal:
        numbers = {part for part in parts if type(part) is int}
        return None if not numbers else lambda value: int(value) if type(value) is float and value in numbers else value
    if origin is list:
        return _each(whole_numbers(parts[0], within), list)
    if origin is dict:
        return _each(whole_numbers(parts[1], within), dict)
    if origin in _UNIONS:
        # Where a float is welcome too, 2.0 is one.
        every = [convert for part in parts if (convert := whole_numbers(part, within)) is not None]
        return None if not every or float in parts else lambda value: _first(value, every)
    if typing.is_typeddict(hint) and hint not in within:
        found = {name: whole_numbers(part, within | {hint}) for name, part in _fields(hint).items()}
        converts = {name: convert for name, convert in found.items() if convert is not None}
        return None if not converts else lambda value: _named(value, converts)
    return None


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _fields(hint: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(hint)
    except Exception:
        # Pydantic could not read it either: it takes anything.
        return {}


def _each(convert: Convert | None, kind: type) -> Convert | None:
    if convert is None:
        return None
    if kind is dict:
        return lambda value: _named(value, dict.fromkeys(value, convert)) if isinstance(value, dict) else value

    def items(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        converted = [convert(item) for item in value]
        return value if all(map(operator.is_, converted, value)) else converted

    return items


def _named(value: Any, converts: dict[str, Convert]) -> Any:
    if not isinstance(value, dict):
        return value
    converted = {name: converts[name](part) if name in converts else part for name, part in value.items()}
    return value if all(map(operator.is_, converted.values(), value.values())) else converted


def _first(value: Any, converts: list[Convert]) -> Any:
    for convert in converts:
        converted = convert(value)
        if converted is not value:
            return converted
    return value

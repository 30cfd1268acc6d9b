"""What a function can be called with, when it may stand behind decorators.

A decorator with ``functools.wraps`` looks like the function it wraps, whatever it takes itself. One that takes
``*args, **kwargs`` may hand all of it on, or may add an argument of its own: nobody can see which. So what it is given
is not checked more than both allow: names of the function inside have its types, none of them is required, others are
taken, and what a position means is not said. One that has a ``__signature__`` has said what it takes.
"""

import inspect
import logging
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pointsman.task_type.coroutines import body_of

logger = logging.getLogger(__name__)

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY)
_BY_POSITION = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


@dataclass(frozen=True, slots=True)
class Shape:
    """What one body takes."""

    named: list[inspect.Parameter]
    extra_positional: bool
    extra_named: bool
    hints: dict[str, Any]
    """By name; a parameter without one takes anything."""
    optional: frozenset[str] = field(default_factory=frozenset)
    """Names in ``named`` that belong to a function behind a decorator."""
    wrapped: inspect.Signature | None = None
    """Of that function."""


def shape_of(body: Callable[..., Any], skip: int = 0) -> Shape:
    """The shape of a function or a bound method; ``skip`` wrappers around it are known to hand all arguments on."""
    is_bound = inspect.ismethod(body)
    function: Any = body_of(getattr(body, "__func__", body))
    for _ in range(skip):
        function = body_of(getattr(function, "__wrapped__", function))
    own = _parameters(function, is_bound)
    extra_positional, extra_named = _takes_more(own)
    named = [parameter for parameter in own if parameter.kind in _NAMED]
    inside = list(_inside(function))
    if not inside:
        return Shape(named, extra_positional, extra_named, _hints(function, named))
    # What the decorator names itself it may change before it hands it on.
    hints = {}
    added: dict[str, inspect.Parameter] = {}
    taken = {parameter.name for parameter in named}
    if extra_named:
        for level in inside:
            parameters = _parameters(level, is_bound)
            for parameter in parameters:
                if parameter.kind in _NAMED[:2] and parameter.name not in taken:
                    added.setdefault(parameter.name, parameter)
            hints = _hints(level, parameters)
            if not _takes_more(parameters)[1]:
                break
    return Shape(
        [*named, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in added.values())],
        extra_positional,
        extra_named,
        {name: hint for name, hint in hints.items() if name in added},
        frozenset(added),
        inspect.Signature(_parameters(inside[-1], is_bound)),
    )


def _inside(function: Any) -> Iterator[Any]:
    """The functions a decorated one stands for, outermost first; none when it says itself what it takes."""
    while hasattr(function, "__wrapped__") and "__signature__" not in vars(function):
        function = body_of(function.__wrapped__)
        yield function


def _parameters(function: Any, is_bound: bool) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    return parameters[1:] if is_bound and parameters and parameters[0].kind in _BY_POSITION else parameters


def _takes_more(parameters: list[inspect.Parameter]) -> tuple[bool, bool]:
    kinds = {parameter.kind for parameter in parameters}
    return inspect.Parameter.VAR_POSITIONAL in kinds, inspect.Parameter.VAR_KEYWORD in kinds


def _hints(function: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    if "__signature__" in getattr(function, "__dict__", {}):
        said = {parameter.name: parameter.annotation for parameter in parameters}
        if not any(isinstance(hint, str) for hint in said.values()):
            return {name: hint for name, hint in said.items() if hint is not inspect.Parameter.empty}
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception as error:
        logger.warning("the type hints of %s cannot be read, its arguments take anything: %s", function, error)
        return {}

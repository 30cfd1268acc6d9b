"""Attributes that a task computes, and that a plain Celery task may take for its own."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class reading(Generic[Value]):  # noqa: N801 - a decorator, as property is
    """A property that an assignment replaces: a task that keeps something of its own under the name goes on working."""

    def __init__(self, function: Callable[[Any], Value]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, task: None, owner: type) -> Self: ...
    @overload
    def __get__(self, task: object, owner: type) -> Value: ...
    def __get__(self, task: object | None, owner: type) -> Self | Value:
        return self if task is None else self._function(task)

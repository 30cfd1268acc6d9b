"""Bodies behind decorators: what plain Celery takes is taken, and what can be known of them is published."""

import functools
import inspect
from typing import Any

import pytest
from celery import Celery
from pydantic import BaseModel

from pointsman.parent.catalogue import specify
from pointsman.task_type.arguments import arguments_of
from pointsman.task_type.retrying import rules_of
from pointsman.testing import run
from pointsman_service.admit.catalogue import KnownTaskType
from pointsman_service.errors import InvalidArguments
from tests.unit.workers.conftest import MakeTask


class Order(BaseModel):
    number: int


class Connection:
    """Has no JSON Schema, as what is injected seldom has."""


def injects_first(body: Any) -> Any:
    @functools.wraps(body)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return body(self, Connection(), *args, **kwargs)

    return wrapper


def injects_by_name(body: Any) -> Any:
    @functools.wraps(body)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return body(*args, connection=Connection(), **kwargs)

    return wrapper


def injects_a_number(body: Any) -> Any:
    """What is injected has a schema that the caller's first argument does not fit."""

    @functools.wraps(body)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return body(self, 7, *args, **kwargs)

    return wrapper


def changes_a_name(body: Any) -> Any:
    @functools.wraps(body)
    def wrapper(self: Any, order_id: int, **kwargs: Any) -> Any:
        return body(self, order=Order(number=order_id), **kwargs)

    return wrapper


def changes_a_value(body: Any) -> Any:
    @functools.wraps(body)
    def wrapper(self: Any, order: Any, *args: Any) -> Any:
        return body(self, Order(number=order), *args)

    return wrapper


def hands_on(body: Any) -> Any:
    @functools.wraps(body)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return wrapper


@injects_first
def with_connection(self: Any, connection: Connection, order: int, copies: int = 1) -> list[Any]:
    return [type(connection).__name__, order, copies]


@hands_on
@injects_by_name
def connection_by_name(self: Any, order: int, *, connection: Connection) -> list[Any]:
    return [type(connection).__name__, order]


@injects_a_number
def with_number(self: Any, number: int, text: str, more: str = "") -> list[Any]:
    return [number, text, more]


@changes_a_name
def changed_name(self: Any, order: Order, copies: int = 1) -> list[int]:
    return [order.number, copies]


@changes_a_value
def changed_value(self: Any, order: Order, copies: int = 1) -> list[int]:
    return [order.number, copies]


CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = [
    (with_connection, (5,), {}, ["Connection", 5, 1]),
    (with_connection, (5, 2), {}, ["Connection", 5, 2]),
    (with_connection, (5,), {"copies": 2}, ["Connection", 5, 2]),
    (with_connection, (), {"order": 5}, ["Connection", 5, 1]),
    (connection_by_name, (5,), {}, ["Connection", 5]),
    (connection_by_name, (), {"order": 5}, ["Connection", 5]),
    (with_number, ("a",), {}, [7, "a", ""]),
    (with_number, ("a", "b"), {}, [7, "a", "b"]),
    (with_number, (), {"text": "a"}, [7, "a", ""]),
    (changed_name, (5,), {}, [5, 1]),
    (changed_name, (), {"order_id": 5, "copies": 2}, [5, 2]),
    (changed_value, (5,), {}, [5, 1]),
    (changed_value, (5, 2), {}, [5, 2]),
]


def plain(body: Any, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any) -> Any:
    """The result of plain Celery, whose own check of the arguments is that of ``delay()``."""
    app = Celery("plain", broker="memory://", set_as_current=False)
    decorate: Any = app.task
    decorate(name="plain.decorated", bind=True, shared=False, **options)(body)
    app.finalize()
    task: Any = app.tasks["plain.decorated"]
    task.delay(*args, **kwargs)
    return task.apply(args, kwargs).get()


def admitted(task: Any, *args: Any, **kwargs: Any) -> bool:
    try:
        KnownTaskType(specify(task, rules_of(task))).check(list(args), kwargs)
    except InvalidArguments:
        return False
    return True


@pytest.mark.parametrize(("body", "args", "kwargs", "result"), CALLS)
def test_what_plain_celery_calls_is_admitted_and_run(
    make: MakeTask, body: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> None:
    assert plain(body, args, kwargs) == result
    task = make(body)
    assert admitted(task, *args, **kwargs)
    ran = run(task, *args, **kwargs)
    assert ran.result == result, ran.error


@hands_on
@hands_on
def timed(self: Any, order: Order, copies: int = 1) -> list[Any]:
    return [type(order).__name__, order.number, copies]


@pytest.mark.parametrize(("args", "kwargs"), [(({"number": 5},), {}), ((), {"order": {"number": 5}})])
def test_a_decorator_that_hands_on_its_arguments_keeps_models(make: MakeTask, args: Any, kwargs: Any) -> None:
    assert run(make(timed), *args, **kwargs).result == ["Order", 5, 1]


def test_names_behind_a_decorator_keep_their_types_and_are_not_required(make: MakeTask) -> None:
    task = make(timed)
    schema = arguments_of(task).schema
    assert schema["properties"] == {"order": {"$ref": "#/$defs/Order"}, "copies": {"type": "integer"}}
    assert "required" not in schema
    assert not admitted(task, order="no order")
    assert not admitted(task, copies="many")
    assert admitted(task, something="else")


def test_a_decorator_that_says_its_signature_is_checked_by_it(make: MakeTask) -> None:
    def says(body: Any) -> Any:
        wrapper = hands_on(body)
        wrapper.__signature__ = inspect.signature(body)
        return wrapper

    @says
    def body(self: Any, order: Order, copies: int = 1) -> int:
        return order.number * copies

    task = make(body)
    assert arguments_of(task).positional == ("order", "copies")
    assert not admitted(task)
    assert not admitted(task, {"number": 5}, other=1)
    assert run(task, {"number": 5}, 2.0).result == 10


def test_an_async_body_is_no_decorated_one(make: MakeTask) -> None:
    async def body(self: Any, order: Order) -> int:
        return order.number

    task = make(body)
    assert arguments_of(task).positional == ("order",)
    assert arguments_of(task).schema["required"] == ["order"]
    assert run(task, {"number": 5}).result == 5


def test_an_async_body_behind_a_decorator_is(make: MakeTask) -> None:
    @injects_first
    async def body(self: Any, connection: Connection, order: int) -> int:
        return order

    @functools.wraps(body)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await body(*args, **kwargs)

    assert run(make(wrapper), 5).result == 5


@pytest.mark.parametrize("options", [{"pydantic": True}, {"autoretry_for": (ValueError,)}])
def test_celerys_own_wrappers_hide_nothing(make: MakeTask, options: dict[str, Any]) -> None:
    def body(self: Any, order: Order, copies: int = 1) -> int:
        return order.number * copies

    task = make(body, **options)
    assert arguments_of(task).positional == ("order", "copies")
    assert arguments_of(task).schema["required"] == ["order"]
    assert run(task, {"number": 5}, copies=2).result == 10


def untyped(self: Any, order: Order, copies: int) -> Any:
    return [order, copies]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2), {}), (("a", "b"), {}), ((), {"order": {"a": 1}, "copies": "x"}), ((1,), {"copies": 2})],
)
def test_without_typing_arguments_reach_the_body_as_they_are(make: MakeTask, args: Any, kwargs: Any) -> None:
    task = make(untyped, typing=False)
    assert admitted(task, *args, **kwargs)
    assert run(task, *args, **kwargs).result == plain(untyped, args, kwargs, typing=False)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((), {"other": 1})])
def test_without_typing_a_wrong_call_fails_in_the_worker_as_in_celery(make: MakeTask, args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError):
        plain(untyped, args, kwargs, typing=False)
    task = make(untyped, typing=False)
    assert admitted(task, *args, **kwargs)
    error = run(task, *args, **kwargs).error
    assert error is not None
    assert error["type"] == "TypeError"


def test_a_url_argument_of_a_task_without_typing_is_found_by_name(make: MakeTask) -> None:
    def body(self: Any, **where: Any) -> None: ...

    task = make(body, typing=False, url_argument="url")
    assert specify(task, rules_of(task)).dependencies_of((), {"url": "https://a.example"}, ()) == ("a.example",)

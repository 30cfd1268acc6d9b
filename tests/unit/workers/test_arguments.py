from datetime import date
from typing import Any, Literal, cast

import pytest
from pydantic import BaseModel

from pointsman import ManagedTask, celery
from pointsman.errors import ArgumentsNotValid
from pointsman.parent.catalogue import Catalogue, specify
from pointsman.task_type.arguments import Arguments
from pointsman.task_type.retrying import RetryRules
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_contract.retry import RetryPolicy

RULES = RetryRules(RetryPolicy(), RetryPolicy(), (), ())


class Address(BaseModel):
    city: str


class Opaque:
    pass


class FakeTask:
    name = "fake"

    def __init__(self, run: Any) -> None:
        self.run = run


def arguments(body: Any) -> Arguments:
    return Arguments.of(FakeTask(body))


def test_types_defaults_and_required_names_are_in_the_schema() -> None:
    def body(to: str, count: int = 3, *, kind: Literal["a", "b"] = "a") -> None: ...

    found = arguments(body)
    assert found.positional == ("to", "count")
    assert found.schema["required"] == ["to"]
    assert found.schema["properties"]["count"] == {"default": 3, "type": "integer"}
    assert found.schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert found.schema["additionalProperties"] is False


def test_variable_arguments_are_open() -> None:
    def body(*args: Any, **kwargs: Any) -> None: ...

    found = arguments(body)
    assert found.extra_positional
    assert found.schema == {"type": "object", "properties": {}, "additionalProperties": True}


def test_parameter_without_a_hint_takes_anything() -> None:
    def body(anything): ...  # type: ignore[no-untyped-def]  # the case itself

    assert arguments(body).schema["properties"] == {"anything": {}}


def test_parameters_with_awkward_names_keep_them() -> None:
    def body(_private: int, model_config: str, schema: str, json: Any = None) -> None: ...

    assert list(arguments(body).schema["properties"]) == ["_private", "model_config", "schema", "json"]


def test_positional_only_parameters_are_counted() -> None:
    def body(first: int, second: int, /, third: int) -> None: ...

    found = arguments(body)
    assert (found.positional, found.positional_only) == (("first", "second", "third"), 2)


def test_hint_without_a_schema_takes_anything() -> None:
    def body(thing: Opaque) -> None: ...

    assert arguments(body).schema["properties"] == {"thing": {}}


def test_default_that_is_not_json_stays_out_of_the_schema() -> None:
    def body(day: date = date(2026, 1, 1)) -> None: ...

    assert arguments(body).schema["properties"]["day"] == {"format": "date", "type": "string"}


def test_models_are_described_within_the_schema() -> None:
    def body(address: Address) -> None: ...

    found = arguments(body)
    assert found.schema["properties"]["address"] == {"$ref": "#/$defs/Address"}
    assert found.schema["$defs"]["Address"]["required"] == ["city"]


def test_models_are_constructed_by_position_and_by_name() -> None:
    def body(address: Address, when: date, *, other: Address | None = None) -> None: ...

    args, kwargs = arguments(body).construct(({"city": "Oslo"}, "2026-01-02"), {"other": {"city": "Bergen"}})
    assert args == [Address(city="Oslo"), date(2026, 1, 2)]
    assert kwargs == {"other": Address(city="Bergen")}


def test_plain_arguments_are_passed_on_untouched() -> None:
    def body(numbers: list[int], text: str | None = None) -> None: ...

    args = ([1, "not checked here"],)
    assert arguments(body).construct(args, {})[0] is args


def test_arguments_that_do_not_fit_a_model_are_refused() -> None:
    def body(address: Address) -> None: ...

    with pytest.raises(ArgumentsNotValid, match="city"):
        arguments(body).construct(({},), {})


def test_positional_and_extra_values_keep_their_order_beside_models() -> None:
    def body(address: Address, *rest: int) -> None: ...

    args, _ = arguments(body).construct(({"city": "Oslo"}, 1, 2), {})
    assert args == [Address(city="Oslo"), 1, 2]


def test_shipped_tasks_are_published_without_celerys_own() -> None:
    celery.loader.import_default_modules()
    names = [spec.name for spec in Catalogue.of(celery, DEFAULT_TOPOLOGY, RetryPolicy()).specs]
    assert {"noop", "echo", "sleep", "fail", "http_request"} <= set(names)
    assert not [name for name in names if name.startswith("celery.")]


def test_bound_task_does_not_publish_self() -> None:
    @celery.task(name="unit.bound", bind=True)
    def body(self: Any, number: int) -> None: ...

    assert specify(cast(ManagedTask, celery.tasks["unit.bound"]), RULES).positional == ("number",)


def test_specification_holds_the_tasks_own_limits() -> None:
    @celery.task(name="unit.limits", queue="reports", priority=9, time_limit=20, soft_time_limit=10)
    def body() -> None:
        """First line
        goes on.

        Not this.
        """

    spec = specify(cast(ManagedTask, celery.tasks["unit.limits"]), RULES)
    assert (spec.queue, spec.priority) == ("reports", 9)
    assert (spec.time_limit_seconds, spec.soft_time_limit_seconds) == (20, 10)
    assert spec.description == "First line goes on."

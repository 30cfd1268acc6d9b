import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.admit.catalogue import KnownTaskType
from pointsman_service.errors import InvalidArguments

SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["to"],
    "additionalProperties": False,
}


def known(schema: object) -> KnownTaskType:
    given = {"name": "f", "time_limit_seconds": 1, "positional": ["to", "n"], "arguments_schema": schema}
    return KnownTaskType(TaskTypeSpec.model_validate(given))


def test_arguments_that_fit_pass_by_position_and_by_name() -> None:
    known(SCHEMA).check(["a"], {"n": 1})


def test_every_argument_that_does_not_fit_is_named_where_it_was_given() -> None:
    with pytest.raises(InvalidArguments) as raised:
        known(SCHEMA).check([5], {"n": "x", "other": 1})
    assert {error["pointer"] for error in raised.value.errors} == {"/args/0", "/kwargs/n", "/kwargs"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": {"to": {"pattern": "(?a)x"}}},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#/$defs/missing"},
    ],
)
def test_a_schema_that_cannot_be_used_refuses_nothing_and_fetches_nothing(schema: object) -> None:
    known(schema).check(["a"], {})


def test_of_very_large_arguments_the_first_fault_is_told() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "array", "items": {"type": "integer"}}}}
    with pytest.raises(InvalidArguments) as raised:
        known(schema).check([], {"n": [1, "a", *["b"] * 100_000]})
    assert [error["pointer"] for error in raised.value.errors] == ["/kwargs/n/1"]

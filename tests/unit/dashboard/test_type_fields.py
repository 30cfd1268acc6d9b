"""What form is made of a schema, and what is made of a form."""

from typing import Any

import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.dashboard.types.fields import MORE, Given, Kind, asked_of, given_by


def spec(properties: dict[str, Any], **more: Any) -> TaskTypeSpec:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    schema |= {name: more.pop(name) for name in ("required", "additionalProperties", "$defs") if name in more}
    return TaskTypeSpec(name="t", time_limit_seconds=1, arguments_schema=schema, **more)


def given(of: TaskTypeSpec, **form: str) -> Given:
    asked = asked_of(of)
    assert asked is not None
    named = {name if name == MORE else f"arg:{name}": text for name, text in form.items()}
    return given_by(asked, of, named, 20)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "string"}, Kind.TEXT),
        ({"type": "string", "maxLength": 5000}, Kind.LONG_TEXT),
        ({"type": "integer"}, Kind.WHOLE),
        ({"type": "number"}, Kind.NUMBER),
        ({"type": "boolean"}, Kind.YES_NO),
        ({"enum": ["a", 1, None]}, Kind.CHOICE),
        ({"const": "a"}, Kind.CHOICE),
        ({"type": "array"}, Kind.JSON),
        ({"type": "object"}, Kind.JSON),
        ({"type": ["integer", "null"]}, Kind.WHOLE),
        ({"type": ["integer", "string"]}, Kind.JSON),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, Kind.WHOLE),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, Kind.JSON),
        ({"allOf": [{"$ref": "#/$defs/Colour"}]}, Kind.CHOICE),
        ({"$ref": "#/$defs/Colour"}, Kind.CHOICE),
        ({"$ref": "#/$defs/Loop"}, Kind.JSON),
        ({"$ref": "https://elsewhere.example/"}, Kind.JSON),
        ({"$ref": 7}, Kind.JSON),
        (True, Kind.JSON),
        ({}, Kind.JSON),
    ],
)
def test_an_argument_is_asked_for_by_its_type(part: Any, kind: Kind) -> None:
    definitions = {"Colour": {"type": "string", "enum": ["red", "blue"]}, "Loop": {"$ref": "#/$defs/Loop"}}
    asked = asked_of(spec({"x": part}, **{"$defs": definitions}))
    assert asked is not None
    assert [field.kind for field in asked.fields] == [kind]


def test_values_are_of_their_types_and_what_is_left_empty_is_left_out() -> None:
    of = spec(
        {
            "n": {"type": "integer"}, "x": {"type": "number"}, "s": {"type": "string"}, "b": {"type": "boolean"},
            "e": {"enum": [None, 1, "1"]}, "j": {"type": "object"}, "gone": {"type": "string", "default": "d"},
        },
        required=["s"],
    )  # fmt: skip
    found = given(of, n=" 90071992547409931 ", x="1e3", s="", b="false", e='"1"', j='{"a": [1]}', gone=" ")
    assert found == Given([], {"n": 90071992547409931, "x": 1000.0, "s": "", "b": False, "e": "1", "j": {"a": [1]}}, {})


def test_each_fault_is_told_at_its_argument() -> None:
    of = spec(
        {
            "n": {"type": "integer"}, "x": {"type": "number"}, "b": {"type": "boolean"}, "j": {}, "deep": {},
            "s": {"type": "string", "minLength": 1},
        },
        required=["s"],
        additionalProperties=True,
    )  # fmt: skip
    found = given(of, n="1.5", x="NaN", b="maybe", j="{", deep="[" * 30 + "]" * 30, more='{"n": 1}')
    assert found.faults["n"] == "this is no whole number"
    assert found.faults["b"] == "choose one of those there are"
    assert found.faults["s"] == "is needed"
    assert found.faults["deep"] == "is nested deeper than 20 levels"
    assert found.faults[MORE] == "n has a field of its own"
    assert {"x", "j"} < found.faults.keys()


def test_what_can_only_be_given_by_position_is() -> None:
    of = spec({"a": {"type": "integer"}, "b": {"type": "integer"}}, positional=("a", "b"), positional_only=2)
    assert given(of, a="1", b="2") == Given([1, 2], {}, {})
    assert given(of, a="1") == Given([1], {}, {})
    assert given(of, b="2").faults == {"a": "is needed before b, which is given by position"}


@pytest.mark.parametrize(
    "of",
    [
        TaskTypeSpec(name="t", time_limit_seconds=1),
        spec({}, extra_positional=True),
        spec({f"a{number}": {} for number in range(101)}),
        TaskTypeSpec(name="t", time_limit_seconds=1, arguments_schema={"properties": []}),
    ],
)
def test_what_no_form_can_say_is_asked_for_as_json(of: TaskTypeSpec) -> None:
    assert asked_of(of) is None


def test_a_type_without_arguments_asks_for_none() -> None:
    asked = asked_of(spec({}))
    assert asked is not None
    assert (list(asked.fields), asked.takes_more) == ([], False)


def test_fields_stand_in_the_order_of_the_call_then_what_is_needed() -> None:
    properties: dict[str, Any] = {"z": {}, "b": {}, "a": {}, "y": {}}
    asked = asked_of(spec(properties, positional=("y", "b"), required=["z"]))
    assert asked is not None
    assert [field.name for field in asked.fields] == ["y", "b", "z", "a"]

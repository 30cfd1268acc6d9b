"""A form made from the JSON Schema of a task type's arguments: a field for each, by its type. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.dashboard.components.json_given import json_given

PREFIX: Final = "arg:"
"""Before the name of an argument, in the names of fields: none of the form's own is ever taken for one."""
MORE: Final = "more"
"""The field with arguments that the schema does not name."""
_MOST_FIELDS: Final = 100
_MOST_CHOICES: Final = 200
_LONG: Final = 200
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_DEEPEST: Final = 8


class Kind(StrEnum):
    """How a field is asked for."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    WHOLE = "whole"
    NUMBER = "number"
    YES_NO = "yes_no"
    CHOICE = "choice"
    JSON = "json"


@dataclass(frozen=True)
class Field:
    """One argument."""

    name: str
    kind: Kind
    required: bool
    description: str = ""
    default: str | None = None
    """As JSON; None: there is none."""
    choices: Sequence[str] = ()
    """Values as JSON."""
    hint: str = ""
    """What is taken, in words."""
    most_long: int | None = None
    takes_empty: bool = False
    """An empty text is a value of it."""

    @property
    def key(self) -> str:
        """Of the field in the form."""
        return PREFIX + self.name


@dataclass(frozen=True)
class Asked:
    """The fields of a task type."""

    fields: Sequence[Field]
    takes_more: bool
    """Named arguments that no field is of are taken, too."""


def asked_of(spec: TaskTypeSpec) -> Asked | None:
    """What there is to ask for; None: only JSON can say it."""
    schema = spec.arguments_schema
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or len(properties) > _MOST_FIELDS or spec.extra_positional:
        return None
    given = schema.get("required", [])
    required = given if isinstance(given, list) else []
    takes_more = schema.get("additionalProperties", True) is not False
    if not properties and takes_more:
        return None
    # What is kept as JSON has no order of its own: what is given by position first, then what is needed.
    order = {name: place for place, name in enumerate(spec.positional)}
    names = sorted(properties, key=lambda name: (order.get(name, len(order)), name not in required, name))
    return Asked([_field(name, properties[name], name in required, schema) for name in names], takes_more)


def _field(name: str, part: Any, required: bool, schema: Mapping[str, Any]) -> Field:
    whole = _resolved(part, schema)
    known = whole.get("default", _MISSING)
    description = whole.get("description")
    common: dict[str, Any] = {
        "name": name,
        "required": required,
        "description": description if isinstance(description, str) else "",
        "default": None if known is _MISSING else _json(known),
    }
    choices = [whole["const"]] if "const" in whole else whole.get("enum")
    if isinstance(choices, list) and 0 < len(choices) <= _MOST_CHOICES:
        return Field(kind=Kind.CHOICE, choices=[_json(one) for one in choices], **common)
    kinds = whole.get("type")
    is_one = isinstance(kinds, str) and kinds in _SCALARS
    if kinds == "boolean":
        return Field(kind=Kind.YES_NO, choices=["true", "false"], **common)
    if kinds in ("integer", "number") and is_one:
        return Field(kind=Kind.WHOLE if kinds == "integer" else Kind.NUMBER, hint=_range(whole), **common)
    if kinds == "string":
        most = whole.get("maxLength")
        most = most if isinstance(most, int) else None
        is_long = most is not None and most > _LONG and "format" not in whole and "pattern" not in whole
        return Field(
            kind=Kind.LONG_TEXT if is_long else Kind.TEXT,
            hint=_of_text(whole),
            most_long=most,
            takes_empty=not whole.get("minLength") and "format" not in whole and "pattern" not in whole,
            **common,
        )
    return Field(kind=Kind.JSON, hint=_of_json(kinds), **common)


_MISSING: Final = object()


def _resolved(part: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """With what it refers to, and of something or nothing the something: left out it is nothing."""
    if not isinstance(part, dict):
        return {}
    found: dict[str, Any] = part
    for _ in range(_DEEPEST):
        own = {name: value for name, value in found.items() if name not in ("$ref", "anyOf", "oneOf", "allOf")}
        if isinstance(found.get("$ref"), str):
            found = _pointed(found["$ref"], schema) | own
            continue
        other = next((found[name] for name in ("anyOf", "oneOf", "allOf") if isinstance(found.get(name), list)), None)
        if other is None:
            break
        some = [one for one in other if not (isinstance(one, dict) and one.get("type") == "null")]
        # What may be nothing and has no default of its own is nothing when it is left out.
        if len(some) != 1 or not isinstance(some[0], dict):
            return own
        found = some[0] | own
    if isinstance(found.get("type"), list):
        some = [one for one in found["type"] if one != "null"]
        found = found | {"type": some[0] if len(some) == 1 else None}
    return found


def _pointed(reference: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = schema
    for step in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else ():
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and found is not schema else {}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _range(part: Mapping[str, Any]) -> str:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
        "multipleOf": "a multiple of {}",
    }
    return ", ".join(text.format(part[name]) for name, text in words.items() if isinstance(part.get(name), int | float))


def _of_text(part: Mapping[str, Any]) -> str:
    found = []
    if isinstance(part.get("format"), str):
        found.append(
            {"date-time": "like 2026-11-29T08:30:00Z", "date": "like 2026-11-29"}.get(part["format"], part["format"])
        )
    if isinstance(part.get("minLength"), int) and part["minLength"] > 1:
        found.append(f"at least {part['minLength']} characters")
    if isinstance(part.get("maxLength"), int):
        found.append(f"at most {part['maxLength']} characters")
    if isinstance(part.get("pattern"), str):
        found.append(f"matches {part['pattern']}")
    return ", ".join(found)


def _of_json(kinds: Any) -> str:
    return {"array": "a JSON array: […]", "object": "a JSON object: {…}"}.get(
        kinds if isinstance(kinds, str) else "", "JSON"
    )


@dataclass(frozen=True)
class Given:
    """What a form came to."""

    args: list[Any]
    kwargs: dict[str, Any]
    faults: Mapping[str, str]
    """What is wrong, by the name of the argument, or ``MORE``."""


def given_by(asked: Asked, spec: TaskTypeSpec, form: Mapping[str, str], most_deep: int) -> Given:
    """The arguments that a form gives. What is left empty is left out, where it may be: its default holds then."""
    named: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field in asked.fields:
        text = form.get(field.key, "").replace("\r\n", "\n")
        if not text.strip() and not (field.required and field.takes_empty):
            if field.required:
                faults[field.name] = "is needed"
            continue
        try:
            named[field.name] = _value(field, text, most_deep)
        except ValueError as error:
            faults[field.name] = str(error)
    more = form.get(MORE, "").strip()
    if asked.takes_more and more:
        try:
            value = json_given(more, most_deep)
        except ValueError as error:
            faults[MORE] = str(error)
        else:
            if not isinstance(value, dict):
                faults[MORE] = "must be a JSON object: {…}"
            elif twice := sorted(value.keys() & {field.name for field in asked.fields}):
                faults[MORE] = f"{', '.join(twice)} has a field of its own"
            else:
                named |= value
    args: list[Any] = []
    only = spec.positional[: spec.positional_only]
    for place, name in enumerate(only):
        if name in named:
            args.append(named.pop(name))
        elif later := [one for one in only[place + 1 :] if one in named]:
            faults[name] = f"is needed before {later[0]}, which is given by position"
            break
        else:
            break
    return Given(args, named, faults)


def _value(field: Field, text: str, most_deep: int) -> Any:
    match field.kind:
        case Kind.TEXT | Kind.LONG_TEXT:
            return text
        case Kind.WHOLE:
            digits = text.strip().removeprefix("-")
            if not (digits.isascii() and digits.isdigit()):
                raise ValueError("this is no whole number")
            return json_given(text.strip(), most_deep)
        case Kind.NUMBER:
            value = json_given(text.strip(), most_deep)
            if type(value) in (int, float):
                return value
            raise ValueError("this is no number")
        case Kind.CHOICE | Kind.YES_NO:
            if text not in field.choices:
                raise ValueError("choose one of those there are")
            return json.loads(text)
        case Kind.JSON:
            return json_given(text, most_deep)

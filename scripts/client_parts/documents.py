"""The modules of models and of errors."""

from typing import Any

from client_parts.schemas import Document, Schema, python_name, sentence

_BASES = {401: "Unauthenticated", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "InvalidRequest",
          429: "TooManyRequests", 500: "Internal", 503: "Unavailable"}  # fmt: skip
"""What every problem of a status is."""
_NAMED = {"unauthorized": "Unauthenticated"}
"""Classes that are not called as their problem is."""
_SAID_OTHERWISE = ("internal", "unauthorized")
"""Problems whose usual detail is no word for a class of a client."""


def models_module(document: Document) -> str:
    """The classes of what is answered, the dictionaries of what is sent in lists, and the words to choose from."""
    parts = []
    parts.append(
        '"""What an API answers, and what is given to it where a call takes a list of them."""\n\n'
        "from collections.abc import Mapping, Sequence\n"
        "from datetime import datetime\nfrom typing import Any, ClassVar, Literal, NotRequired, TypedDict\n\n"
        "from pointsman_client.model import Model, Shape, by_name, each, moment, one_of\n"
    )
    for name in document.chosen:
        words = ", ".join(repr(word) for word in document.schemas[name]["enum"])
        said = document.schemas[name].get("description")
        parts.append(f"{name} = Literal[{words}]" + (f"\n{sentence(said, '')}" if said else ""))
    given = [operation.schema_of_body(document) for operation in document.operations]
    flat = [id(schema) for schema in given if schema is not None]
    parts += [
        _given(document, name, schema)
        for name, schema in document.schemas.items()
        if name in document.taken and "properties" in schema and id(schema) not in flat
    ]
    parts += [
        _model(document, name, document.schemas[name]) for name in _inner_first(document) if name in document.told
    ]
    return "\n\n".join(parts) + "\n"


def problems_module(document: Document) -> str:
    """A class for each ``type`` of a problem, under one for its status."""
    found = {code: (status, detail) for code, status, detail in document.problems}
    by_class = {_class_of(code): code for code in found}
    parts = []
    parts.append(
        '"""What an API may refuse: a class for each ``type`` of its problems, under the class of its status."""\n\n'
        "from pointsman_client.errors import Refused\n"
    )
    for status, base in _BASES.items():
        code = by_class.get(base)
        text = _SAID[status] if code is None or code in _SAID_OTHERWISE else found[code][1]
        parts.append(f"class {base}(Refused):\n{sentence(text)}")
    for code, (status, detail) in sorted(found.items()):
        if _class_of(code) not in _BASES.values():
            parts.append(f"class {_class_of(code)}({_BASES.get(status, 'Refused')}):\n{sentence(detail)}")
    types = "".join(f"    {code!r}: {_class_of(code)},\n" for code in sorted(found))
    statuses = "".join(f"    {status}: {base},\n" for status, base in _BASES.items())
    parts.append(f"BY_TYPE: dict[str, type[Refused]] = {{\n{types}}}")
    parts.append(f"BY_STATUS: dict[int, type[Refused]] = {{\n{statuses}}}")
    return "\n\n\n".join(parts) + "\n"


_SAID = {
    401: "The call has no key, or one that does not count.",
    403: "Who calls may not do this.",
    404: "There is no such thing.",
    409: "It cannot be done as things are.",
    422: "Some fields are not valid.",
    429: "There were too many calls: come again later.",
    500: "Something went wrong there; it was logged.",
    503: "It cannot be done now; nothing was done.",
}


def _class_of(code: str) -> str:
    if code in _NAMED:
        return _NAMED[code]
    return "".join(word.capitalize() for word in code.split("-"))


def _model(document: Document, schema_name: str, schema: Schema) -> str:
    name = document.name_of(schema_name)
    fields: dict[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", []))
    names = {called: python_name(called) for called in fields}
    lines = [f"class {name}(Model):", sentence(schema.get("description", f"{name}.")), "", "    __slots__ = ()"]
    for attribute, wanted in (("_fields", required), ("_optional", set(fields) - required)):
        listed = "".join(f"{names[called]!r}, " for called in fields if called in wanted)
        if listed:
            lines.append(f"    {attribute}: ClassVar[tuple[str, ...]] = ({listed})")
    shapes = {called: shape for called, said in fields.items() if (shape := document.shape_of(said)) is not None}
    if shapes:
        inner = ", ".join(
            f"{names[called]!r}: {f'lambda value: {shape}(value)' if shape == name else shape}"
            for called, shape in shapes.items()
        )
        lines.append(f"    _shapes: ClassVar[Mapping[str, Shape]] = {{{inner}}}")
    if renamed := {names[called]: called for called in fields if names[called] != called}:
        lines.append(f"    _named: ClassVar[Mapping[str, str]] = {renamed!r}")
    lines.append("")
    for called, said in fields.items():
        kind = document.type_of(said, sent=False)
        kind += " | None" if called not in required and "None" not in kind else ""
        lines.append(f"    {names[called]}: {kind}")
        if text := said.get("description"):
            lines.append(sentence(text))
    return "\n".join(lines) + "\n"


def _given(document: Document, name: str, schema: Schema) -> str:
    required = set(schema.get("required", []))
    lines = [f"class {name}(TypedDict):", sentence(schema.get("description", f"{name}.")), ""]
    for called, said in schema["properties"].items():
        kind = document.type_of(said, sent=True)
        lines.append(f"    {called}: {kind if called in required else f'NotRequired[{kind}]'}")
        if text := said.get("description"):
            lines.append(sentence(text))
    return "\n".join(lines) + "\n"


def _inner_first(document: Document) -> list[str]:
    """The schemas with properties, those that others hold before these."""
    order: list[str] = []

    def visit(name: str, under: tuple[str, ...]) -> None:
        if name in order or "properties" not in document.schemas[name]:
            return
        for held in sorted(document._with_parts({name}) - {name}):
            if held not in under and name not in document._with_parts({held}):
                visit(held, (*under, name))
        order.append(name)

    for name in document.schemas:
        visit(name, ())
    return order

"""What FastAPI cannot know of the document: the schemas of bodies that routes read by themselves, that a parameter is
given or left out, and never null, and that no text may have a NUL character.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_PLACE = "#/components/schemas/"
_WITHOUT_NUL = r"^[^\x00]*$"
_NARROWER = ("pattern", "enum", "const", "format")
"""What says more of a text than that."""


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model whose parts will stand among the components."""
    return model.model_json_schema(ref_template=_PLACE + "{model}")


def hoist_bodies(document: dict[str, Any]) -> None:
    """Let every body be a component, with what it refers to beside it, so that clients get a type of that name."""
    schemas = document["components"]["schemas"]
    for operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"]
            _say_without_nul(schema)
            for name, part in schema.pop("$defs", {}).items():
                if schemas.setdefault(name, part) != part:
                    raise ValueError(f"two schemas have the name {name}")
            name = schema["title"]
            if schemas.setdefault(name, schema) != schema:
                # What is answered has every field, what is asked may leave some out.
                name = f"{name}Input"
                schemas[name] = schema | {"title": name}
            content["schema"] = {"$ref": _PLACE + name}


def add_everywhere(document: dict[str, Any], always: dict[str, Any], of_acts: dict[str, Any]) -> None:
    """Responses by status that come before any operation is asked; ``of_acts``: of what changes something."""
    for path in document["paths"].values():
        for method, operation in path.items():
            added = always if method == "get" else always | of_acts
            operation["responses"] = dict(sorted((added | operation["responses"]).items()))


def add_rights(document: dict[str, Any], scopes: Mapping[str, str | None], refusals: dict[str, Any]) -> None:
    """What each operation takes, by its ``operationId``: a scope of a key, or none; and that it is refused without."""
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "pm_…",
            "description": "A key of a caller: `Authorization: Bearer pm_…`. Or a token of the OpenID Connect issuer,"
            " where there is one.",
        }
    }
    for operation in _operations(document):
        scope = scopes[operation["operationId"]]
        operation["security"] = [] if scope is None else [{"key": [str(scope)]}]
        if scope is not None:
            operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))


def narrow_parameters(document: dict[str, Any]) -> None:
    """A path, a query and a header hold text: there is no null in them, and in a query no NUL character."""
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            kinds = [kind for kind in parameter["schema"].pop("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                parameter["schema"] |= kinds[0]
            elif kinds:
                parameter["schema"]["anyOf"] = kinds
            if parameter["in"] == "query":
                _say_without_nul(parameter["schema"])


def _say_without_nul(schema: dict[str, Any]) -> None:
    """Of each text in it that says nothing narrower, and of each name that a caller chooses."""
    if schema.get("type") == "string" and not any(word in schema for word in _NARROWER):
        schema["pattern"] = _WITHOUT_NUL
    if "propertyNames" in schema:
        schema["propertyNames"].setdefault("pattern", _WITHOUT_NUL)
    named = [part for word in ("properties", "$defs") for part in schema.get(word, {}).values()]
    several = [part for word in ("anyOf", "allOf", "oneOf") for part in schema.get(word, ())]
    inner = [schema[word] for word in ("items", "additionalProperties") if isinstance(schema.get(word), dict)]
    for part in (*named, *several, *inner):
        _say_without_nul(part)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()

"""What FastAPI cannot know of the document: the schemas of bodies that routes read by themselves, and that a parameter
is given or left out, and never null.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

_PLACE = "#/components/schemas/"


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model whose parts will stand among the components."""
    return model.model_json_schema(ref_template=_PLACE + "{model}")


def hoist_bodies(document: dict[str, Any]) -> None:
    """Let every body be a component, with what it refers to beside it, so that clients get a type of that name."""
    schemas = document["components"]["schemas"]
    for operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"]
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


def drop_null_parameters(document: dict[str, Any]) -> None:
    """A path, a query and a header hold text: there is no null in them."""
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            kinds = [kind for kind in parameter["schema"].pop("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                parameter["schema"] |= kinds[0]
            elif kinds:
                parameter["schema"]["anyOf"] = kinds


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()

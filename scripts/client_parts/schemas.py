"""The schemas of the document, as types of Python."""

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Schema = dict[str, Any]
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


@dataclass(frozen=True)
class Operation:
    """One operation."""

    id: str
    method: str
    path: str
    said: Schema

    @property
    def parameters(self) -> list[Schema]:
        """Those of its path, its query and its headers."""
        found: list[Schema] = self.said.get("parameters", [])
        return found

    def schema_of_body(self, document: "Document") -> Schema | None:
        """That of the JSON object which it takes."""
        if (wanted := self.said.get("requestBody")) is None:
            return None
        return document.resolve(wanted["content"]["application/json"]["schema"])


class Document:
    """An OpenAPI document."""

    def __init__(self, said: Schema) -> None:
        self._said = said
        self.schemas: dict[str, Schema] = said["components"]["schemas"]

    @cached_property
    def operations(self) -> list[Operation]:
        """All of them, in the order of the document."""
        return [
            Operation(said["operationId"], method.upper(), path, said)
            for path, methods in self._said["paths"].items()
            for method, said in methods.items()
            if method in ("get", "post", "put", "patch", "delete")
        ]

    @property
    def problems(self) -> list[tuple[str, int, str]]:
        """Each problem: the last word of its ``type``, its status, and what it usually says."""
        return [(said["type"].rpartition(":")[2], said["status"], said["detail"]) for said in self._said["x-problems"]]

    def resolve(self, schema: Schema) -> Schema:
        """What a reference stands for."""
        return self.schemas[_referred(schema)] if "$ref" in schema else schema

    @cached_property
    def taken(self) -> set[str]:
        """The schemas of what is sent, and of what they hold."""
        return self._with_parts(_references([operation.said.get("requestBody") for operation in self.operations]))

    @cached_property
    def told(self) -> set[str]:
        """The schemas of what is answered, and of what they hold."""
        answers = [operation.said["responses"] for operation in self.operations]
        return self._with_parts(_references(answers)) - self.taken

    @cached_property
    def chosen(self) -> list[str]:
        """The schemas that are a choice of words."""
        return [name for name, schema in self.schemas.items() if "enum" in schema]

    def _with_parts(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        while more := names - found:
            found |= more
            names = _references([self.schemas[name] for name in more])
        return found

    def name_of(self, schema: str) -> str:
        """What the class of a schema is called: without the ``View`` of its end, where nothing else has that name."""
        short = schema.removesuffix("View")
        taken = short in self.schemas or short in ("Error", "Model", "")
        return schema if taken or schema not in self.told else short

    def type_of(self, schema: Schema, *, sent: bool) -> str:
        """The annotation of a value; ``sent``: of what callers give."""
        if "$ref" in schema:
            return self.name_of(_referred(schema))
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.type_of(kind, sent=sent) for kind in schema["anyOf"]))
        if "const" in schema:
            return f"Literal[{schema['const']!r}]"
        if "enum" in schema:
            return f"Literal[{', '.join(map(repr, schema['enum']))}]"
        match schema.get("type"):
            case "array":
                return f"{'Sequence' if sent else 'list'}[{self.type_of(schema.get('items', {}), sent=sent)}]"
            case "object":
                inner = schema.get("additionalProperties")
                value = self.type_of(inner, sent=sent) if isinstance(inner, dict) else "Any"
                return f"{'Mapping' if sent else 'dict'}[str, {value}]"
            case "string" if schema.get("format") == "date-time":
                return "datetime | str" if sent else "datetime"
            case str(plain):
                return _PLAIN[plain]
        return "Any"

    def shape_of(self, schema: Schema) -> str | None:
        """The expression that makes of JSON what ``type_of`` says; None: it is that already."""
        if "$ref" in schema:
            name = _referred(schema)
            return None if "enum" in self.schemas[name] else self.name_of(name)
        if "anyOf" in schema:
            kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
            if len(kinds) == 1:
                return self.shape_of(kinds[0])
            shapes = [shape for kind in kinds if (shape := self.shape_of(kind)) is not None]
            if not shapes:
                return None
            if not all("$ref" in kind for kind in kinds):
                raise SystemExit(f"a choice that cannot be told apart: {schema}")
            return f"one_of({', '.join(shapes)})"
        if schema.get("type") == "array":
            inner = self.shape_of(schema.get("items", {}))
            return None if inner is None else f"each({inner})"
        if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
            inner = self.shape_of(schema["additionalProperties"])
            return None if inner is None else f"by_name({inner})"
        return "moment" if schema.get("format") == "date-time" else None


def python_name(name: str) -> str:
    """A name that Python takes."""
    plain = re.sub(r"\W", "_", name).lower()
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def sentence(text: str, indent: str = "    ") -> str:
    """A docstring of that text, with its quotes."""
    text = re.sub(r"\s+", " ", text.replace("\\", "\\\\").replace('"""', "'''")).strip()
    if not text.endswith((".", "?", "!")):
        text += "."
    text = re.sub(r"(?<!`)`(?!`)([^`]*)`(?!`)", r"``\1``", text)
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(indent) + len(line) + len(word) > 113:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    lines.append(line)
    if len(lines) == 1:
        return f'{indent}"""{line}"""'
    return f'{indent}"""' + f"\n{indent}".join(lines) + f'\n{indent}"""'


def _referred(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _references(said: Any) -> set[str]:
    return set(_walk(said))


def _walk(said: Any, *, named: bool = False) -> Iterator[str]:
    """``named``: the keys are names of fields, and no words of a schema."""
    if isinstance(said, dict):
        if isinstance(said.get("$ref"), str):
            yield _referred(said)
        for name, value in said.items():
            if named or name not in ("example", "examples"):
                yield from _walk(value, named=name == "properties" and not named)
    elif isinstance(said, list):
        for value in said:
            yield from _walk(value)

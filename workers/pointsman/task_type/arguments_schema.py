"""How the arguments of a task are published as JSON Schema: what passes it can be built from its text."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

_WITH_OFFSET = r"([Zz]|[+-]\d{2}:?\d{2})$"
_WITHOUT_OFFSET = r"^\d{4}-\d{2}-\d{2}([Tt _]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?$"


class ArgumentsSchema(GenerateJsonSchema):
    """Pydantic's, without generated titles, which say nothing that the name does not, and with what it leaves unsaid:
    whether a moment must have an offset, the schemes of a URL, that text is to be a number, or JSON.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's name
        """Never."""
        return False

    def datetime_schema(self, schema: Any) -> Any:
        """With or without an offset."""
        found = super().datetime_schema(schema)
        match schema.get("tz_constraint"):
            case "aware":
                found["pattern"] = _WITH_OFFSET
            case "naive":
                found["pattern"] = _WITHOUT_OFFSET
        return found

    def url_schema(self, schema: Any) -> Any:
        """A URL of the schemes that its type takes."""
        return _of_schemes(super().url_schema(schema), schema)

    def multi_host_url_schema(self, schema: Any) -> Any:
        """A URL with several hosts, of the schemes that its type takes."""
        return _of_schemes(super().multi_host_url_schema(schema), schema)

    def decimal_schema(self, schema: Any) -> Any:
        """Text that is a number."""
        found = super().decimal_schema(schema)
        for kind in found.get("anyOf", ()):
            if kind.get("type") == "string":
                kind.setdefault("format", "decimal")
        return found

    def json_schema(self, schema: Any) -> Any:
        """Text that is JSON."""
        return super().json_schema(schema) | {"format": "json-string"}

    def dict_schema(self, schema: Any) -> Any:
        """Names that are numbers."""
        found = super().dict_schema(schema)
        if schema.get("keys_schema", {}).get("type") == "int":
            found.setdefault("propertyNames", {"pattern": r"^\s*[+-]?\d+\s*$"})
        return found


def _of_schemes(found: dict[str, Any], schema: Any) -> dict[str, Any]:
    schemes = schema.get("allowed_schemes")
    if not schemes:
        return found
    return found | {"pattern": f"^\\s*({'|'.join(_whatever_its_case(scheme) for scheme in schemes)}):"}


def _whatever_its_case(scheme: str) -> str:
    """A pattern: those of JSON Schema have no flags."""
    return "".join(
        f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else f"\\{letter}" if letter in "+.-" else letter
        for letter in scheme
    )

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pointsman_service.app import openapi_document

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_committed_document_is_the_one_the_api_serves() -> None:
    """When the API changes on purpose: ``.venv/bin/python -m pointsman_service openapi > docs/openapi.json``."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == openapi_document()


def values_in(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from values_in(part)


def test_every_reference_leads_somewhere() -> None:
    document = openapi_document()
    references = {value["$ref"] for value in values_in(document) if isinstance(value, dict) and "$ref" in value}
    assert references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]


def test_every_body_and_every_item_of_a_batch_has_a_type_of_its_own() -> None:
    document = openapi_document()
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]
    assert len(bodies) > 10
    assert all(body.keys() == {"$ref"} for body in bodies)
    assert document["components"]["schemas"]["Batch"]["properties"]["tasks"]["items"] == {
        "$ref": "#/components/schemas/BatchItem"
    }


def test_no_parameter_can_be_null() -> None:
    for path in openapi_document()["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                assert {"type": "null"} not in values_in(parameter["schema"]), parameter["name"]


def test_every_operation_has_an_example() -> None:
    for path, methods in openapi_document()["paths"].items():
        for method, operation in methods.items():
            places = [operation.get("requestBody", {}), *operation["responses"].values()]
            contents = [content for place in places for content in place.get("content", {}).values()]
            assert any("example" in content or "examples" in content for content in contents), (method, path)

import json
from pathlib import Path

from service.app import openapi_document

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_committed_document_is_the_one_the_api_serves() -> None:
    """When the API changes on purpose: ``.venv/bin/python -m service openapi > docs/openapi.json``."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == openapi_document()


def test_every_operation_has_an_example() -> None:
    for path, methods in openapi_document()["paths"].items():
        for method, operation in methods.items():
            places = [operation.get("requestBody", {}), *operation["responses"].values()]
            contents = [content for place in places for content in place.get("content", {}).values()]
            assert any("example" in content or "examples" in content for content in contents), (method, path)

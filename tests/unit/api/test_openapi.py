import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pointsman_contract.catalogue import WORDS_AFTER_NAME
from pointsman_contract.log_text import says_something
from pointsman_service.app.application import openapi_document as made_document


@cache
def openapi_document() -> dict[str, Any]:
    """Made once: nobody here changes it."""
    return made_document()


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


def test_no_two_models_have_one_name() -> None:
    """Each would be named after its module too, and generators of clients take the name alone."""
    schemas = openapi_document()["components"]["schemas"]
    assert [name for name in schemas if "__" in name] == []
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert sorted(titles) == sorted(set(titles))


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


NARROWER = {"pattern", "enum", "const", "format"}


def test_every_text_that_a_caller_gives_says_that_it_has_no_nul() -> None:
    document = openapi_document()
    given = [*given_schemas(document)]
    texts = [
        schema
        for part in given
        for schema in values_in(part)
        if isinstance(schema, dict) and schema.get("type") == "string"
    ]
    assert len(texts) > 50
    assert [text for text in texts if not NARROWER & text.keys()] == []


def given_schemas(document: dict[str, Any]) -> Iterator[Any]:
    """Of the bodies and the parameters in queries."""
    for path in document["paths"].values():
        for operation in path.values():
            yield from (one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body is not None:
                yield from resolved(document, body["$ref"])


def resolved(document: dict[str, Any], reference: str) -> Iterator[Any]:
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    # What is forbidden says nothing of what is given.
    yield {word: part for word, part in schema.items() if word != "not"}
    for part in values_in(schema):
        if isinstance(part, dict) and "$ref" in part:
            yield from resolved(document, part["$ref"])


@pytest.mark.parametrize("word", [r"\d", r"\w", r"\s"])
def test_no_pattern_means_something_else_to_another_reader(word: str) -> None:
    """Digits, letters and spaces are ASCII in JavaScript, and of every script elsewhere."""
    patterns = [
        part["pattern"] for part in values_in(openapi_document()) if isinstance(part, dict) and "pattern" in part
    ]
    assert [pattern for pattern in patterns if isinstance(pattern, str) and word in pattern] == []


@pytest.mark.parametrize("text", ["a", " é ", "\u0097", "\x85", " \t", "\u2028", "\u200b\ufeff", "x\u200b"])
def test_a_reason_fits_the_document_if_it_says_something(text: str) -> None:
    reason = openapi_document()["components"]["schemas"]["Ignore"]["properties"]["reason"]
    assert (re.search(reason["pattern"], text) is not None) == says_something(text)


def test_every_word_that_follows_the_name_of_a_breaker_is_kept_for_it() -> None:
    words = {path.rpartition("/")[2] for path in openapi_document()["paths"] if "/breakers/{scope}/{name}/" in path}
    assert words
    assert words <= set(WORDS_AFTER_NAME), "a name with a slash that ends so would be asked for"

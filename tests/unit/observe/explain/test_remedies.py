"""A call that a remedy names can be made as it stands there."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from pointsman_service.alert.kinds import KINDS
from pointsman_service.app.application import openapi_document
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.core import explain
from pointsman_service.observe.explain.remedies import OF_SCOPE, OF_SCOPE_LONG, REMEDIES, filled
from tests.unit.observe.explain.situations import SITUATIONS

_CALL = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/\S*[^\s.])(?: (\{.*\}))?")


def _steps() -> Iterator[str]:
    for cause in Cause:
        yield explain(SITUATIONS[cause][0]).root.what_to_do
    for remedy in (*REMEDIES.values(), *OF_SCOPE.values(), *OF_SCOPE_LONG.values()):
        yield remedy.step
    for kind in KINDS.values():
        yield kind.next_step


CALLS = sorted({found.groups() for step in _steps() for found in _CALL.finditer(step)}, key=str)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def test_remedies_name_calls() -> None:
    assert len(CALLS) >= 8


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_every_call_of_a_remedy_is_complete(method: str, path: str, body: str | None, document: dict[str, Any]) -> None:
    operation = next(
        operations[method.lower()]
        for template, operations in document["paths"].items()
        if method.lower() in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    )
    asked = operation.get("requestBody", {"required": False})
    if body is None:
        assert not asked["required"], f"{method} {path} asks for a body"
        return
    schema = asked["content"]["application/json"]["schema"]
    jsonschema_rs.validate(schema | {"components": document["components"]}, json.loads(body))


def test_names_are_filled_in_as_a_path_has_them() -> None:
    assert filled("/v1/workers/{worker}/admit", worker="email@host-1") == "/v1/workers/email@host-1/admit"
    assert filled("/v1/breakers/{scope}/{name}/reset", scope="dependency", name="a b/c") == (
        "/v1/breakers/dependency/a%20b%2Fc/reset"
    )

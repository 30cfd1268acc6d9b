import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from service.errors import OutcomeUnknown


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nope", "/v1/tasks/", "/docs/assets/nope.js", "/docs/assets/../x", "/ä%20b"]
)
async def test_unknown_path_is_a_404_problem(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"]) == ("urn:pointsman:problem:not-found", 404)
    assert body["instance"].isascii()


async def test_wrong_method_is_a_405_problem_that_names_the_right_ones(api: httpx.AsyncClient) -> None:
    answer = await api.delete("/v1/queues")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["type"] == "urn:pointsman:problem:method-not-allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/queues",
        "/v1/workers",
        "/v1/task-types",
        "/livez",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/metrics/tasks",
        "/v1/tasks",
    ],
)
async def test_unknown_parameter_is_refused_everywhere(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"{path}?wait=1")

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/query/wait", "detail": "this parameter does not exist"}]


async def test_unexpected_error_is_a_500_problem_that_tells_nothing(app: FastAPI, api: httpx.AsyncClient) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret")

    answer = await api.get("/broken")

    assert (answer.status_code, answer.json()["type"]) == (500, "urn:pointsman:problem:internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_problem_of_an_unknown_outcome_names_the_task(app: FastAPI, api: httpx.AsyncClient) -> None:
    @app.get("/unsure")
    async def unsure() -> None:
        raise OutcomeUnknown(task_id="the-id", retry_after_seconds=1.2)

    answer = await api.get("/unsure")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["task_id"] == "the-id"


async def test_documentation_asks_no_other_host(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")

    assert page.status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text).replace("// ", "")
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await api.get(f"/{asset}")).status_code == 200, asset


async def test_document_is_valid_and_complete(api: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await api.get("/openapi.json")).json()

    validate(document)
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    identifiers = [operation["operationId"] for operation in operations.values()]
    assert len(set(identifiers)) == len(identifiers)
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["tags"], name
        assert "422" in operation["responses"], name
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if status.startswith(("4", "5")) and name != "get /readyz":
                assert list(response["content"]) == ["application/problem+json"], (name, status)


async def test_every_read_operation_has_an_example(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    for path, methods in document["paths"].items():
        if "get" in methods:
            (content,) = methods["get"]["responses"]["200"]["content"].values()
            assert content["example"], path


async def test_examples_fit_their_schemas(api: httpx.AsyncClient) -> None:
    import jsonschema_rs

    document = (await api.get("/openapi.json")).json()

    for path, methods in document["paths"].items():
        for response in methods.get("get", {"responses": {}})["responses"].values():
            for content in response["content"].values():
                schema = content["schema"] | {"components": document["components"]}
                examples = [each["value"] for each in content.get("examples", {}).values()]
                for example in [*examples, *([content["example"]] if "example" in content else [])]:
                    faults = [fault.message for fault in jsonschema_rs.validator_for(schema).iter_errors(example)]
                    assert not faults, (path, faults)

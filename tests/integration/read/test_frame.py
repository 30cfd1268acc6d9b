import base64
import hashlib
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from pointsman_service.errors import OutcomeUnknown


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/nope", "/v1/tasks/", "/docs/assets/nope.js", "/docs/assets/../x", "/ä%20b"]
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

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.json()["type"] == "urn:pointsman:problem:method-not-allowed"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/tasks", "GET, HEAD, OPTIONS, POST"),
        ("/v1/tasks/batch", "OPTIONS, POST"),
        ("/v1/breakers/task_type/noop", "GET, HEAD, OPTIONS, PUT"),
        ("/v1/queues/email/resume", "OPTIONS, POST"),
        ("/docs/assets/swagger-ui.css", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_and_a_wrong_method_name_every_method_of_a_path(
    api: httpx.AsyncClient, path: str, allow: str
) -> None:
    options, wrong = await api.options(path), await api.request("PROPFIND", path)

    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, allow)


async def test_options_of_nothing_is_404(api: httpx.AsyncClient) -> None:
    assert (await api.options("/v1/nope")).status_code == 404


async def test_head_of_every_read_operation_is_its_get_without_the_body(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    paths = [path for path, methods in document["paths"].items() if "get" in methods and not path.endswith("/events")]
    for path in ["/", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", *paths]:
        read, head = await api.get(path), await api.head(path)
        assert (head.status_code, head.headers["content-type"]) == (read.status_code, read.headers["content-type"]), (
            path
        )
        assert head.headers["content-length"], path
        assert head.content == b"", path


async def test_head_of_a_stream_ends(api: httpx.AsyncClient) -> None:
    answer = await api.head("/v1/breakers/events")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_the_root_says_where_things_are(api: httpx.AsyncClient) -> None:
    answer = await api.get("/")

    assert answer.status_code == 200
    places = {name: value for name, value in answer.json().items() if name not in ("name", "version")}
    for path in places.values():
        assert (await api.get(path)).status_code in (200, 503), path


async def test_documentation_runs_its_own_scripts_only(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    policy = page.headers["content-security-policy"]

    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(hashes) == 1
    assert f"script-src 'self' 'sha256-{hashes[0]}';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<[^>]+ (?:on\w+|style)=", page.text)


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
            for content in response.get("content", {}).values():
                schema = content["schema"] | {"components": document["components"]}
                examples = [each["value"] for each in content.get("examples", {}).values()]
                for example in [*examples, *([content["example"]] if "example" in content else [])]:
                    faults = [fault.message for fault in jsonschema_rs.validator_for(schema).iter_errors(example)]
                    assert not faults, (path, faults)

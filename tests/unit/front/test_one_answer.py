"""The same fault is told in the same words on every route."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from pointsman_service.api.bodies.room import Room
from pointsman_service.app.application import create_app
from pointsman_service.app.process import Role
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from tests.unit.front.asking import Operation, operations

OPERATIONS = list(operations())
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
ACTS = [operation for operation in OPERATIONS if not operation.is_safe]
JSON = {"Content-Type": "application/json"}
_WITH_REDIS_ALONE = {"list_set_aside_messages"}
_WITHOUT_DATABASE = {
    "get_liveness",
    "get_health",
    "get_readiness",
    "get_prometheus_metrics",
    "get_now",
    "list_alert_channels",
}
_CHANNEL = {
    "name": "on-call",
    "kind": "webhook",
    "url": "https://on-call.example.org/",
    "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
}


def _settings() -> Settings:
    return Settings(
        database_url=SecretStr("postgresql+asyncpg://app@/postgres?host=/nowhere"),
        redis_url=SecretStr("redis://127.0.0.1:1/0"),
        alert_channels=[_CHANNEL],
        allowed_hosts=("pointsman",),
    )


@pytest.fixture(scope="module")
def door() -> Any:
    """The API whole, over servers that are away."""
    return create_app(_settings(), [Role.API])


@pytest.fixture
async def api(door: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://pointsman") as client:
        yield client


def parts_of_door(door: Any) -> Any:
    """What the routes behind it work with."""
    return door._application.application.state.parts


async def ask(api: httpx.AsyncClient, operation: Operation, **changed: Any) -> httpx.Response:
    """A valid request, but for what is changed."""
    given: dict[str, Any] = {"method": operation.method, "url": operation.path, "content": operation.body}
    given["headers"] = (JSON if operation.body is not None else {}) | changed.pop("headers", {})
    return await api.request(**(given | changed))


def told(answer: httpx.Response) -> dict[str, Any]:
    """What is told of a fault, but for where it was and for limits that differ."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert problem.pop("instance") == quote(answer.request.url.path)
    assert problem["status"] == answer.status_code
    problem["detail"] = re.sub(r"\d+", "N", problem["detail"])
    for fault in problem.get("errors", ()):
        fault["detail"] = re.sub(r"\d+", "N", fault["detail"])
    return problem | {"retry_after": answer.headers.get("retry-after")}


async def told_by_all(api: httpx.AsyncClient, asked: list[Operation], **changed: Any) -> dict[str, Any]:
    """What all of these operations say of a fault: one thing."""
    everything = {operation.id: told(await ask(api, operation, **changed)) for operation in asked}
    first = next(iter(everything.values()))
    assert {id_: problem for id_, problem in everything.items() if problem != first} == {}
    return first


def kind_of(problem: dict[str, Any]) -> str:
    """The last part of its type."""
    return str(problem["type"]).removeprefix("urn:pointsman:problem:")


async def test_a_database_that_is_away_is_told_alike(api: httpx.AsyncClient) -> None:
    asked = [operation for operation in OPERATIONS if operation.id not in _WITHOUT_DATABASE | _WITH_REDIS_ALONE]
    problem = await told_by_all(api, asked)
    assert (kind_of(problem), problem["retry_after"]) == ("database-away", "1")


async def test_a_broker_that_is_away_is_told_alike(api: httpx.AsyncClient) -> None:
    asked = [operation for operation in OPERATIONS if operation.id in _WITH_REDIS_ALONE]
    problem = await told_by_all(api, asked)
    assert (kind_of(problem), problem["retry_after"]) == ("broker-away", "1")


async def test_a_fault_of_ours_is_told_alike_and_tells_nothing(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Store, "_connect", broken)
    asked = [operation for operation in OPERATIONS if operation.id not in _WITHOUT_DATABASE | _WITH_REDIS_ALONE]
    with capture_logs() as logs:
        problem = await told_by_all(api, asked)
    assert (kind_of(problem), problem["status"]) == ("internal", 500)
    assert "secret" not in str(problem)
    assert [line["event"] for line in logs] == ["a request failed"] * len(asked)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a":', "malformed-json"),
        (b"\xff", "malformed-json"),
        (b'{"a":[1,NaN]}', "invalid-request"),
        (b'{"a":1,"a":2}', "invalid-request"),
        (b'{"a":' + b"[" * 90 + b"]" * 90 + b"}", "invalid-request"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(90)) + b"}", "invalid-request"),
        (b'{"a":[' + b",".join([b"[]"] * 80_000) + b"]" + b" " * 200_000 + b"}", "body-too-large"),
    ],
)
async def test_a_bad_body_is_told_alike(api: httpx.AsyncClient, body: bytes, kind: str) -> None:
    asked = [operation for operation in WITH_BODY if kind != "body-too-large" or operation.id != "submit_batch"]
    assert kind_of(await told_by_all(api, asked, content=body)) == kind


async def test_a_body_that_is_too_large_is_told_alike_before_it_is_read(api: httpx.AsyncClient) -> None:
    long = {"Content-Length": str(9 * 1024 * 1024)}
    problem = await told_by_all(api, ACTS, content=b"", headers=JSON | long)
    assert kind_of(problem) == "body-too-large"


async def test_a_body_that_turns_out_too_large_is_told_alike(api: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    everything = [told(await ask(api, operation, content=endless())) for operation in WITH_BODY]
    assert all(problem == everything[0] for problem in everything)
    assert kind_of(everything[0]) == "body-too-large"


async def test_a_process_that_holds_too_many_bodies_tells_it_alike(
    api: httpx.AsyncClient, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    monkeypatch.setattr(parts_of_door(door), "room", Room(0))
    everything = [told(await ask(api, operation, content=parts())) for operation in WITH_BODY]
    assert all(problem == everything[0] for problem in everything)
    assert (kind_of(everything[0]), everything[0]["retry_after"]) == ("too-many-bodies", "1")


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
async def test_another_media_type_is_told_alike(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert kind_of(await told_by_all(api, WITH_BODY, headers=headers)) == "unsupported-media-type"


async def test_an_encoding_that_is_not_read_is_told_alike(api: httpx.AsyncClient) -> None:
    assert kind_of(await told_by_all(api, WITH_BODY, headers={"Content-Encoding": "gzip"})) == "unsupported-media-type"


async def test_another_host_is_told_alike(api: httpx.AsyncClient) -> None:
    assert kind_of(await told_by_all(api, OPERATIONS, headers={"Host": "evil.example"})) == "unknown-host"


async def test_a_page_of_another_site_is_told_alike(api: httpx.AsyncClient) -> None:
    assert kind_of(await told_by_all(api, ACTS, headers={"Origin": "http://evil.example"})) == "cross-site"


async def test_a_parameter_that_does_not_exist_is_told_alike(api: httpx.AsyncClient) -> None:
    asked = [operation for operation in OPERATIONS if "?" not in operation.path]
    assert kind_of(await told_by_all(api, asked, params={"nobody_knows": "1"})) == "invalid-request"


async def test_a_method_that_a_path_does_not_have_is_told_alike(api: httpx.AsyncClient) -> None:
    paths = {operation.template: operation for operation in OPERATIONS}
    problem = await told_by_all(api, list(paths.values()), method="TRACE", content=b"")
    assert kind_of(problem) == "method-not-allowed"
    for template, operation in paths.items():
        allow = set((await ask(api, operation, method="TRACE", content=b"")).headers["allow"].split(", "))
        has = {other.method for other in OPERATIONS if other.template == template}
        assert has <= allow, template


async def test_a_path_that_does_not_exist_is_told_alike(api: httpx.AsyncClient) -> None:
    answers = [await api.request(one.method, f"/nowhere{one.path}", content=b"{}") for one in OPERATIONS]
    everything = [told(answer) for answer in answers]
    assert all(problem == everything[0] for problem in everything)
    assert kind_of(everything[0]) == "not-found"

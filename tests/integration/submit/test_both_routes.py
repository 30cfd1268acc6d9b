"""``POST /v1/tasks`` is answered straight from ASGI; the documented route behind it is its plain reference. Whatever is
sent, both say the same.
"""

import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.api.tasks.intake import Intake
from pointsman_service.database import create_engine
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.workers import catalogue
from tests.acceptance.test_bad_input import CASES, Bad
from tests.integration.read.conftest import application, fronted
from tests.integration.spine import Spine
from tests.stand.waiting import until
from tests.unit.front.test_connection import connected

SLEEP = TaskTypeSpec(
    name="sleep",
    time_limit_seconds=9,
    positional=("seconds",),
    arguments_schema={
        "type": "object",
        "properties": {"seconds": {"type": "number"}},
        "required": ["seconds"],
        "additionalProperties": False,
    },
)
NOOP = TaskTypeSpec(name="noop", time_limit_seconds=9, extra_positional=True)
BAD = [case for case in CASES if (case.method, case.path) == ("POST", "/v1/tasks")]
GOOD: list[dict[str, Any]] = [
    {"task_type": "noop"},
    {"task_type": "sleep", "args": [1]},
    {"task_type": "sleep", "kwargs": {"seconds": 0.5}},
    {"task_type": "noop", "args": [1, "\u00e9\U0001f980", None, [{}]], "kwargs": {"a": {"b": [True]}}},
    {"task_type": "noop", "tags": {"tenant": "42"}, "max_attempts": 2, "timeout_seconds": 0.5},
    {"task_type": "noop", "dependencies": ["smtp", "db.example.org:5432"], "on_breaker_open": "reject"},
    {"task_type": "noop", "scheduled_at": "2999-01-01T00:00:00+02:00"},
    {"task_type": "noop", "delay_seconds": 60, "expires_at": "2999-01-01T00:00:00Z"},
    *({"task_type": "noop", "queue": queue.name} for queue in DEFAULT_TOPOLOGY.queues),
    *({"task_type": "noop", "priority": priority} for priority in range(11)),
]
_SUBMISSIONS = 50
OWN = ("id", "submitted_at", "due_at")
"""Fields in which two tasks differ."""


class Doors(NamedTuple):
    """One API, reached in two ways."""

    hot: httpx.AsyncClient
    plain: httpx.AsyncClient

    async def ask(self, content: bytes, headers: dict[str, str], path: str = "/v1/tasks") -> list[httpx.Response]:
        """The answers of both, to the same request."""
        given = {"Content-Type": "application/json", "X-Request-ID": "order-7"} | headers
        return [await door.post(path, content=content, headers=given) for door in self]


@asynccontextmanager
async def opened(spine: Spine) -> AsyncIterator[Doors]:
    plain = application(spine)
    hot = Intake(plain, plain.state.parts)
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(fronted(hot)), base_url="http://pointsman") as first,
        httpx.AsyncClient(transport=httpx.ASGITransport(fronted(plain)), base_url="http://pointsman") as second,
    ):
        yield Doors(first, second)


@pytest.fixture
async def doors(spine: Spine) -> AsyncIterator[Doors]:
    async with spine.store.statement() as connection:
        await catalogue.publish(connection, "w@h#1", [NOOP, SLEEP])
    async with opened(spine) as both:
        yield both


def told(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """What an answer says, but for what is its task's own."""
    body = answer.json()
    headers = dict(answer.headers)
    if "location" in headers:
        assert headers["location"] == f"/v1/tasks/{body['id']}"
        del headers["location"]
    del headers["content-length"]
    return answer.status_code, headers, {name: value for name, value in body.items() if name not in OWN}


@pytest.mark.parametrize("body", GOOD, ids=json.dumps)
async def test_a_good_submission_is_answered_alike(doors: Doors, body: dict[str, Any]) -> None:
    hot, plain = await doors.ask(json.dumps(body).encode(), {})
    assert hot.status_code == 202
    assert told(hot) == told(plain)
    assert list(hot.json()) == list(plain.json()), "in the same order"


@pytest.mark.parametrize("bad", BAD, ids=[case.name for case in BAD])
async def test_a_bad_submission_is_refused_alike(doors: Doors, bad: Bad) -> None:
    content = json.dumps(bad.content).encode() if isinstance(bad.content, dict) else bad.content
    hot, plain = await doors.ask(content or b"", dict(bad.headers))
    assert hot.status_code == bad.status
    assert told(hot) == told(plain)


@pytest.mark.parametrize("first", [0, 1])
async def test_a_key_stands_for_one_task_at_both(doors: Doors, first: int) -> None:
    headers = {"Idempotency-Key": f'"{uuid4()}"', "Content-Type": "application/json", "X-Request-ID": "order-7"}
    body = json.dumps({"task_type": "noop"})
    accepted = await doors[first].post("/v1/tasks", content=body, headers=headers)
    again = [await door.post("/v1/tasks", content=body, headers=headers) for door in doors]
    other = [
        await door.post("/v1/tasks", content=b'{"task_type":"noop","args":[1]}', headers=headers) for door in doors
    ]

    assert accepted.status_code == 202
    assert [(answer.status_code, answer.json()["id"]) for answer in again] == [(200, accepted.json()["id"])] * 2
    assert told(again[0]) == told(again[1])
    assert again[0].headers["idempotency-replayed"] == "true"
    assert other[0].status_code == 422
    assert told(other[0]) == told(other[1])


async def test_a_database_that_is_away_is_said_alike(closed_spine: Spine, settings: Settings) -> None:
    nowhere = settings.model_copy(
        update={"database_url": SecretStr("postgresql+asyncpg://app@/postgres?host=/nowhere")}
    )
    store = Store(create_engine(nowhere, "test"))
    try:
        async with opened(Spine(store, closed_spine.server, settings)) as both:
            hot, plain = await both.ask(b'{"task_type":"noop"}', {})
    finally:
        await store.close()
    assert hot.status_code == 503
    assert hot.headers["retry-after"]
    assert told(hot) == told(plain)


async def test_the_limit_of_a_body_holds_for_each_item_of_a_batch(doors: Doors) -> None:
    long = {"task_type": "noop", "args": ["x" * 300_000]}
    alone = await doors.ask(json.dumps(long).encode(), {})
    items = [{"task_type": "noop"}, long, {"task_type": "noop", "kwargs": {"a": "x" * 200_000}}]
    _, answer = await doors.ask(json.dumps({"tasks": items}).encode(), {}, "/v1/tasks/batch")
    _, refused = await doors.ask(json.dumps({"tasks": items, "atomic": True}).encode(), {}, "/v1/tasks/batch")

    assert [one.status_code for one in alone] == [413, 413]
    assert answer.status_code == 207
    assert [result["status"] for result in answer.json()["results"]] == [202, 413, 202]
    assert answer.json()["results"][1]["problem"]["type"] == alone[0].json()["type"]
    assert (refused.status_code, refused.json()["results"][1]["status"]) == (422, 413)


@pytest.mark.parametrize("fields", [{}, {"Idempotency-Key": "order"}], ids=["without a key", "with one"])
async def test_a_submission_that_was_answered_leaves_nothing_for_the_collector(
    spine: Spine, doors: Doors, fields: dict[str, str]
) -> None:
    plain = application(spine)
    door: Any = fronted(Intake(plain, plain.state.parts))
    connection, transport = connected(door)
    body = b'{"task_type":"noop","kwargs":{"to":"a@example.org"}}'
    sent = 0

    async def answered() -> bool:
        return transport.said.count(b"HTTP/1.1 202 ") == sent

    gc.collect()
    gc.disable()
    try:
        for sent in range(1, _SUBMISSIONS + 1):
            head = [b"POST /v1/tasks HTTP/1.1", b"Host: pointsman", b"Content-Type: application/json"]
            head += [f"{name}: {value}-{sent}".encode() for name, value in fields.items()]
            connection.data_received(b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body]))
            await until(answered, "the answer")
        left = gc.collect()
    finally:
        gc.enable()
    assert left < _SUBMISSIONS, "it would be looked through, with all that waits, at every ten thousandth object"


@pytest.mark.parametrize("beside", [0, 300_000], ids=["short", "long"])
@pytest.mark.parametrize("name", ["args", "kwargs"])
async def test_an_item_of_a_batch_may_be_as_deep_as_alone_and_one_deeper_is_refused_by_itself(
    doors: Doors, name: str, beside: int
) -> None:
    def nested(levels: int) -> str:
        """The JSON of a submission so deep."""
        inner = "[" * (levels - 2) + "]" * (levels - 2)
        return f'{{"task_type":"noop","{name}":' + (f"[{inner}]}}" if name == "args" else f'{{"a":{inner}}}}}')

    good, deep, brackets = nested(32), nested(33), json.dumps({"task_type": "noop", "kwargs": {"a": "[{" * 40}})
    alone = await doors.ask(deep.encode(), {})
    long = json.dumps({"task_type": "noop", "args": ["x" * (beside // 2)]})
    content = f'{{"tasks":[{good},{deep},{brackets},{long},{long}]}}'.encode()
    _, answer = await doors.ask(content, {}, "/v1/tasks/batch")

    assert [one.status_code for one in alone] == [422, 422]
    assert [one.status_code for one in await doors.ask(good.encode(), {})] == [202, 202]
    assert [result["status"] for result in answer.json()["results"]] == [202, 422, 202, 202, 202]
    (fault,) = answer.json()["results"][1]["problem"]["errors"]
    assert fault == {"pointer": f"/{name}", "detail": "is nested deeper than 31 levels"}


async def test_a_number_that_grows_when_it_is_stored_does_not_pass_the_limit(doors: Doors) -> None:
    content = b'{"task_type":"noop","args":[' + b",".join([b"1e15"] * 40_000) + b"]}"
    assert [answer.status_code for answer in await doors.ask(content, {})] == [413, 413]


async def test_items_that_are_refused_leave_nothing_of_their_batch_behind(doors: Doors) -> None:
    long = {"task_type": "noop", "args": [[0] for _ in range(100_000)]}
    gc.collect()
    gc.disable()
    try:
        _, answer = await doors.ask(json.dumps({"tasks": [long]}).encode(), {}, "/v1/tasks/batch")
        left = gc.collect()
    finally:
        gc.enable()
    assert answer.json()["results"][0]["status"] == 413
    assert left < 10_000


async def test_a_batch_of_known_keys_shows_their_tasks_as_a_list_does(doors: Doors) -> None:
    item = {"task_type": "noop", "args": ["x" * 5000], "idempotency_key": str(uuid4())}
    content = json.dumps({"tasks": [item]}).encode()
    (first, again) = await doors.ask(content, {}, "/v1/tasks/batch")
    (taken,), (replayed,) = first.json()["results"], again.json()["results"]

    assert (taken["status"], taken["task"]["cut"], len(taken["task"]["args"])) == (202, [], 1)
    assert (replayed["status"], replayed["task"]["cut"], replayed["task"]["args"]) == (200, ["args"], [])
    assert replayed["task"]["id"] == taken["task"]["id"]

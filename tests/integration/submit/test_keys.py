"""A call that is repeated with its key gets its task, whatever time and deploys have changed meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.api.parts import Parts
from pointsman_service.store.workers import catalogue
from tests.integration.read.conftest import application, fronted
from tests.integration.spine import Spine
from tests.integration.tripped import KEY, Holding

SPEC = TaskTypeSpec(name="mail", time_limit_seconds=9, queue="email")
STRICTER = SPEC.model_copy(
    update={"arguments_schema": {"type": "object", "properties": {}, "additionalProperties": False}}
)
BODY: dict[str, Any] = {"task_type": "mail", "kwargs": {"to": "a@example.org"}}
REUSED = "urn:pointsman:problem:idempotency-key-reused"


class Api:
    """The API over one control plane, and its parts."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        app = application(spine)
        self.parts: Parts = app.state.parts
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(fronted(app)), base_url="http://pointsman")

    async def publish(self, spec: TaskTypeSpec) -> None:
        async with self.spine.store.statement() as connection:
            await catalogue.publish(connection, "w@h#1", [spec])
        await self.parts.catalogue.refresh()

    async def submit(self, body: dict[str, Any], key: str | bytes | None) -> httpx.Response:
        headers = [] if key is None else [(b"Idempotency-Key", key if isinstance(key, bytes) else key.encode())]
        return await self.http.post("/v1/tasks", json=body, headers=headers)

    async def batch(self, *items: dict[str, Any], atomic: bool = False) -> httpx.Response:
        return await self.http.post("/v1/tasks/batch", json={"tasks": items, "atomic": atomic})

    async def stored(self) -> int:
        (row,) = await self.spine.rows("SELECT count(*)::int AS n FROM task_live")
        return int(row["n"])


@pytest.fixture
async def api(spine: Spine) -> AsyncIterator[Api]:
    opened = Api(spine)
    await opened.publish(SPEC)
    yield opened
    await opened.http.aclose()


async def arguments_do_not_fit(api: Api, body: dict[str, Any]) -> None:
    await api.publish(STRICTER)


async def task_type_is_gone(api: Api, body: dict[str, Any]) -> None:
    await api.spine.run("DELETE FROM task_type")
    await api.parts.catalogue.refresh()


async def expiry_has_come_near(api: Api, body: dict[str, Any]) -> None:
    """The same call without a key is refused from now on."""
    while (await api.http.post("/v1/tasks/validate", json=body)).status_code == 200:
        pass


async def breaker_is_open(api: Api, body: dict[str, Any]) -> None:
    await Holding(api.spine).open(*KEY)
    await api.spine.commits.breakers.single_pass()


async def items_may_be_smaller(api: Api, body: dict[str, Any]) -> None:
    smaller = api.parts.settings.model_copy(update={"body_bytes": 10})
    api.parts.submitter._settings = smaller


Change = Callable[[Api, dict[str, Any]], Awaitable[None]]


@pytest.mark.parametrize(
    "change",
    [arguments_do_not_fit, task_type_is_gone, expiry_has_come_near, breaker_is_open, items_may_be_smaller],
    ids=lambda change: change.__name__,
)
async def test_a_repeated_call_gets_its_task_though_a_new_one_would_be_refused(api: Api, change: Change) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=60.3)).isoformat()
    body = BODY | {"dependencies": ["smtp"], "on_breaker_open": "reject", "delay_seconds": 60, "expires_at": soon}
    first = await api.submit(body, "k")
    assert first.status_code == 202, first.text
    await change(api, body)

    for key in (None, "another"):
        assert (await api.submit(body, key)).status_code in (413, 422, 503)
    again = await api.submit(body, "k")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.headers["idempotency-replayed"] == "true"
    verdict = await api.http.post("/v1/tasks/validate", json=body, headers={"Idempotency-Key": "k"})
    assert (verdict.status_code, verdict.json()["queue"]) == (200, "email")
    item = body | {"idempotency_key": "k"}
    mixed = await api.batch(body, body | {"idempotency_key": "another"}, item, item)
    atomic = await api.batch(item, item, atomic=True)
    assert (mixed.status_code, atomic.status_code) == (207, 202), atomic.text
    results = mixed.json()["results"][2:] + atomic.json()["results"]
    assert [(result["status"], result["task"]["id"]) for result in results] == [(200, first.json()["id"])] * 4
    assert await api.stored() == 1


async def test_a_repeated_call_gets_its_task_though_its_queue_is_gone(api: Api) -> None:
    first = await api.submit(BODY | {"queue": "email"}, "k")
    kept = DEFAULT_TOPOLOGY.model_copy(
        update={"queues": tuple(queue for queue in DEFAULT_TOPOLOGY.queues if queue.name != "email")}
    )
    settings = api.spine.settings.model_copy(update={"topology": kept})
    later = Api(Spine(api.spine.store, api.spine.server, settings))
    again = await later.submit(BODY | {"queue": "email"}, "k")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (await later.submit(BODY | {"queue": "email"}, "other")).json()["type"].endswith("unknown-queue")
    await later.http.aclose()


async def test_a_key_of_another_body_is_said_before_what_is_wrong_with_that(api: Api) -> None:
    first = await api.submit(BODY, "k")
    await api.publish(STRICTER)
    other = await api.submit(BODY | {"priority": 9}, "k")
    assert (other.status_code, other.json()["type"], other.json()["task_id"]) == (422, REUSED, first.json()["id"])
    (result,) = (await api.batch(BODY | {"priority": 9, "idempotency_key": "k"})).json()["results"]
    assert (result["problem"]["type"], result["problem"]["task_id"]) == (REUSED, first.json()["id"])


async def test_one_key_in_a_header_and_in_an_item_is_one_task(api: Api) -> None:
    for header, item in (("käse", "käse"), ("日本", " 日本 "), ('" a"', '" a"'), (" b ", '"b"')):
        first = await api.submit(BODY, header)
        assert first.status_code == 202, first.text
        (result,) = (await api.batch(BODY | {"idempotency_key": item})).json()["results"]
        assert (result["status"], result["task"]["id"]) == (200, first.json()["id"])


async def test_two_keys_are_refused_and_store_nothing(api: Api) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await api.http.post("/v1/tasks", json=BODY, headers=headers)
    assert (answer.status_code, await api.stored()) == (400, 0)


async def test_a_key_used_with_another_body_names_the_first_task(api: Api) -> None:
    first = (await api.submit(BODY, "k")).json()["id"]
    alone = (await api.submit(BODY | {"priority": 1}, "k")).json()
    assert (alone["type"], alone["task_id"]) == (REUSED, first)
    assert first in alone["detail"]
    other = BODY | {"priority": 1, "idempotency_key": "k"}
    for problem in (
        (await api.batch(BODY, other)).json()["results"][1]["problem"],
        (await api.batch(BODY, other, atomic=True)).json(),
    ):
        assert (problem["type"], problem["task_id"]) == (REUSED, first)
    within = await api.batch(BODY | {"idempotency_key": "n"}, BODY | {"idempotency_key": "n", "priority": 1})
    made, refused = within.json()["results"]
    assert refused["problem"]["task_id"] == made["task"]["id"]


async def test_equal_bodies_written_differently_are_one_task(api: Api) -> None:
    at = "2090-01-01T00:00:00"
    first = await api.submit(BODY | {"scheduled_at": f"{at}Z", "kwargs": {"n": 1}}, "k")
    again = await api.submit(BODY | {"scheduled_at": f"{at}.000+00:00", "kwargs": {"n": 1.0}, "tags": {}}, '"k"')
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])

"""A dependency dies and heals: what calls reach it, and what becomes of the tasks that call it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman_contract.keys import BREAKERS
from pointsman_contract.queues import STEPS, list_key
from pointsman_service.embedded.postgres import PostgresServer
from pointsman_service.embedded.valkey import ValkeyServer
from pointsman_service.store.upkeep.schema import migrate
from tests.peers.http import HTTPPeer, Reply
from tests.stand import invariants
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

THRESHOLD = 3
PERMITS = 2
PRIVATE = {"POINTSMAN_ALLOW_PRIVATE_TARGETS": "true"}
WELL, BROKEN = Reply(200, b"well"), Reply(503, b"broken")


@pytest.fixture
def peer() -> Iterator[HTTPPeer]:
    """The dependency."""
    with HTTPPeer() as listening:
        listening.on("/work", WELL)
        yield listening


class Dependency:
    """An HTTP service that tasks call, and its circuit breaker."""

    def __init__(self, stack: Stack, peer: HTTPPeer) -> None:
        self._stack = stack
        self._peer = peer
        self.name = f"127.0.0.1:{peer.port}"
        self.path = f"/v1/breakers/dependency/{self.name}"

    async def set_policy(self, **policy: Any) -> None:
        ours = {"failure_threshold": THRESHOLD, "recovery_jitter": 0, "half_open_permits": PERMITS} | policy
        answer = await self._stack.http.put(self.path, json=ours)
        assert answer.status_code == 200, answer.text

    async def submit(self, **fields: Any) -> str:
        """A task that calls it."""
        kwargs = {"method": "POST", "url": f"{self._peer.url}/work"}
        return await self._stack.submit("http_request", kwargs=kwargs, max_attempts=50, **fields)

    async def submit_at_once(self, count: int) -> list[str]:
        """So many tasks that call it, in one commit: the window has room for all."""
        kwargs = {"method": "POST", "url": f"{self._peer.url}/work"}
        task = {"task_type": "http_request", "kwargs": kwargs, "max_attempts": 50}
        answer = await self._stack.http.post("/v1/tasks/batch", json={"tasks": [task] * count})
        assert answer.status_code == 202, answer.text
        return [result["task"]["id"] for result in answer.json()["results"]]

    async def state(self) -> str:
        answer = await self._stack.http.get(self.path)
        return str(answer.json()["state"])

    async def openings(self) -> int:
        """How often it opened by itself."""
        answer = await self._stack.http.get(f"{self.path}/history?limit=200")
        return sum(line["to"] == "open" for line in answer.json()["items"])

    async def is_open(self) -> bool:
        return await self.state() == "open"

    def calls(self) -> int:
        return len(self._peer.requests)

    def dies(self) -> None:
        self._peer.on("/work", BROKEN)
        self._peer.requests.clear()

    def heals(self) -> None:
        self._peer.on("/work", WELL)


async def states(stack: Stack, tasks: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in tasks:
        state = (await stack.task(task))["state"]
        found[state] = found.get(state, 0) + 1
    return found


async def test_a_dependency_that_dies_is_left_alone_and_its_tasks_end_once_it_heals(
    stack: Stack, peer: HTTPPeer
) -> None:
    dependency = Dependency(stack, peer)
    await dependency.set_policy(recovery_timeout=1.0, recovery_timeout_max=1.0, half_open_successes=2)
    for _ in range(2):
        assert (await stack.finished(await dependency.submit()))["state"] == "succeeded"

    dependency.dies()
    tasks = [await dependency.submit() for _ in range(30)]
    await until(dependency.is_open, "the breaker to open")

    # Probes go on failing.
    async def opened_again() -> bool:
        return await dependency.openings() >= 3

    await until(opened_again, "two probes to fail")
    openings = await dependency.openings()
    calls = dependency.calls()
    openings = max(openings, await dependency.openings())
    assert calls <= THRESHOLD + stack.processes + PERMITS * openings

    async def held() -> dict[str, Any] | None:
        found = await stack.http.get("/v1/tasks", params={"state": "held", "task_type": "http_request", "limit": 200})
        return next((item for item in found.json()["items"] if item["id"] in tasks and not item["attempt"]), None)

    one = await until(held, "a task that is held")
    assert one["held_reason"] == f"breaker:dependency:{dependency.name}"
    assert one["dependencies"] == [dependency.name]
    assert one["held_seconds"] >= 0

    dependency.heals()
    for task in tasks:
        assert (await stack.finished(task))["state"] == "succeeded"
    ended = [await stack.task(task) for task in tasks]
    assert sum(task["attempt"] == 1 for task in ended) >= len(tasks) - calls, "who was held spent no attempt"
    assert await dependency.state() == "closed"
    await invariants.drain(stack)


async def test_a_submission_may_ask_to_be_refused_instead_of_held(stack: Stack, peer: HTTPPeer) -> None:
    dependency = Dependency(stack, peer)
    await dependency.set_policy(release_per_second=1000)
    opened = await stack.http.post(f"{dependency.path}/force-open", json={"reason": "a test"})
    assert opened.status_code == 200, opened.text
    body = {
        "task_type": "http_request",
        "kwargs": {"method": "GET", "url": f"{peer.url}/work"},
        "on_breaker_open": "reject",
    }

    async def refused() -> Any:
        answer = await stack.http.post("/v1/tasks", json=body)
        return answer if answer.status_code == 503 else None

    answer = await until(refused, "the API to know of the open breaker")
    assert answer.json()["type"].endswith("breaker-open")
    assert int(answer.headers["retry-after"]) >= 1
    batch = await stack.http.post("/v1/tasks/batch", json={"tasks": [body, body | {"on_breaker_open": "hold"}]})
    assert batch.status_code == 207
    statuses = [result["status"] for result in batch.json()["results"]]
    assert statuses == [503, 202]
    held = batch.json()["results"][1]["task"]["id"]
    assert (await stack.wait_for_state(held, "held"))["attempt"] == 0
    await stack.http.post(f"{dependency.path}/reset", json={"reason": "the test is over"})
    assert (await stack.finished(held))["state"] == "succeeded"


async def test_a_breaker_opens_while_the_database_is_away(
    stack_on_own_postgres: Stack, own_postgres: PostgresServer, peer: HTTPPeer
) -> None:
    stack = stack_on_own_postgres
    dependency = Dependency(stack, peer)
    await dependency.set_policy(recovery_timeout=600)
    hold = stack.directory / "hold"
    busy = [await stack.submit("ledger.hold", args=[str(hold)], queue="external_api") for _ in range(stack.processes)]
    await stack.wait_for_effects(busy)
    tasks = await dependency.submit_at_once(40)

    async def sent() -> bool:
        (row,) = await stack.rows("SELECT count(*) AS sent FROM task_live WHERE place = 'sent' AND state = 'queued'")
        return bool(row["sent"] == len(tasks))

    await until(sent, "every task to be on the broker")
    dependency.dies()
    own_postgres.kill()
    hold.touch()

    def opened() -> bool:
        with stack.redis() as redis:
            return str(redis.hget(BREAKERS, f"dependency:{dependency.name}") or "").startswith("!")

    async def all_asked() -> bool:
        with stack.redis() as redis:
            waiting = sum(redis.llen(list_key("external_api", step)) for step in STEPS)
            return opened() and waiting == 0 and redis.hlen("unacked") == 0

    await until(all_asked, "the gate to hold what is on the broker")
    assert dependency.calls() <= THRESHOLD + stack.processes

    own_postgres.start()
    await until(stack.is_ready, "the service to notice the database")
    await until(dependency.is_open, "the recorder to confirm it")

    async def all_held() -> bool:
        found = await states(stack, tasks)
        return found.get("held", 0) + found.get("retrying", 0) == len(tasks)

    await until(all_held, "the tasks to be held")
    assert dependency.calls() <= THRESHOLD + stack.processes
    dependency.heals()
    await stack.http.post(f"{dependency.path}/force-close", json={"reason": "it is well"})
    for task in tasks:
        assert (await stack.finished(task))["state"] == "succeeded"
    await invariants.drain(stack)


async def test_a_breaker_stays_open_over_a_restart_of_everything(
    stack_on_own_postgres: Stack, own_postgres: PostgresServer, own_valkey: ValkeyServer, peer: HTTPPeer
) -> None:
    stack = stack_on_own_postgres
    dependency = Dependency(stack, peer)
    await dependency.set_policy(recovery_timeout=600)
    dependency.dies()
    tasks = [await dependency.submit() for _ in range(8)]
    await until(dependency.is_open, "the breaker to open")
    calls = dependency.calls()
    stack.service.kill()
    stack.worker.kill()
    own_valkey.kill()
    own_postgres.kill()
    own_postgres.start()
    own_valkey.start()
    stack.service.start()
    stack.worker.start()
    await until(stack.is_ready, "the stack to be ready again")
    assert await dependency.is_open()
    late = await dependency.submit()
    found = await stack.wait_for_state(late, "held")
    assert (found["attempt"], found["dispatch"]) == (0, 0)
    assert found["retry_at"] is not None

    async def all_held() -> bool:
        found = await states(stack, tasks)
        return found.get("held", 0) == len(tasks)

    await until(all_held, "the tasks to be held")
    assert dependency.calls() <= calls + stack.processes
    dependency.heals()
    await stack.http.post(f"{dependency.path}/force-close", json={"reason": "it is well"})
    for task in [*tasks, late]:
        assert (await stack.finished(task))["state"] == "succeeded"


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that may be stopped."""
    with PostgresServer(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        await migrate(server.url)
        yield server


@pytest.fixture
async def stack_on_own_postgres(
    own_postgres: PostgresServer, own_valkey: ValkeyServer, tmp_path: Path
) -> AsyncIterator[Stack]:
    """An installation whose database may be stopped."""
    async with Stack(own_postgres.url, own_valkey, tmp_path, variables=PRIVATE) as running:
        yield running
